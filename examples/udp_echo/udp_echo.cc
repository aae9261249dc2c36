// udp_echo: sends each datagram back to where it came from (RFC 862), over IPv4 and IPv6, without copying a byte.
//
//   udp_echo --port=7777                                                             over kernel sockets
//   udp_echo --port=7777 --stack=xdp --interface=veth0 --address=10.0.0.2/24        over weir's own stack
//   udp_echo --port=7777 --group=239.1.1.1,ff15::1                                  also what is sent to groups
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(uint16_t, port, 7, "UDP port to listen on");
ABSL_FLAG(std::vector<std::string>, group, {}, "groups to join, with commas between");

namespace {

absl::Status JoinGroups(weir::UdpSocket& socket) {
  for (const std::string& text : absl::GetFlag(FLAGS_group)) {
    const absl::StatusOr<weir::IpAddress> group = weir::IpAddress::Parse(text);
    if (!group.ok()) return group.status();
    absl::Status joined = socket.JoinGroup(*group);
    if (!joined.ok()) return joined;
  }
  return absl::OkStatus();
}

weir::Task<absl::Status> Main(weir::Shard& shard) {
  absl::StatusOr<weir::UdpSocket> socket = shard.BindUdp({.port = absl::GetFlag(FLAGS_port)});
  if (!socket.ok()) co_return socket.status();
  absl::Status joined = JoinGroups(*socket);
  if (!joined.ok()) co_return joined;
  shard.Ready(absl::StrCat("udp_echo on port ", socket->local().port));
  for (;;) {
    absl::StatusOr<weir::Datagram> got = co_await socket->Recvmsg();
    if (!got.ok()) co_return got.status();
    if (got->truncated()) continue;
    // A datagram that cannot be sent back is lost, as datagrams are; the next one is served.
    absl::Status sent = co_await socket->Sendmsg(std::move(got->data), got->peer);
    if (absl::IsCancelled(sent)) co_return sent;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Echoes what it receives over UDP.", Main);
}
