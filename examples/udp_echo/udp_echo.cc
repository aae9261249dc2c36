// udp_echo: sends each datagram back to where it came from (RFC 862), without copying a byte.
//
//   udp_echo --port=7777                                                             over kernel sockets
//   udp_echo --port=7777 --stack=xdp --interface=veth0 --address=10.0.0.2/24        over weir's own stack
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(uint16_t, port, 7, "UDP port to listen on");

namespace {

weir::Task<absl::Status> Main(weir::Shard& shard) {
  absl::StatusOr<weir::UdpSocket> socket = shard.BindUdp({.port = absl::GetFlag(FLAGS_port)});
  if (!socket.ok()) co_return socket.status();
  shard.Ready(absl::StrCat("udp_echo on port ", socket->local().port));
  for (;;) {
    absl::StatusOr<weir::Datagram> got = co_await socket->Recvmsg();
    if (!got.ok()) co_return got.status();
    // A datagram that cannot be sent back is lost, as datagrams are; the next one is served.
    absl::Status sent = co_await socket->Sendmsg(std::move(got->data), got->peer);
    if (absl::IsCancelled(sent)) co_return sent;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Echoes what it receives over UDP.", Main);
}
