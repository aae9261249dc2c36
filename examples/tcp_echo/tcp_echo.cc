// tcp_echo: sends back what it receives (RFC 862), without copying a byte.
//
//   tcp_echo --port=7777                                                             over kernel sockets
//   tcp_echo --port=7777 --stack=xdp --interface=veth0 --address=10.0.0.2/24        over weir's own stack
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(uint16_t, port, 7, "TCP port to listen on");

namespace {

weir::Task<void> Serve(weir::TcpStream stream) {
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> msg = co_await stream.Recvmsg();
    if (!msg.ok() || msg->empty()) co_return;                      // error, or the peer's FIN
    absl::Status sent = co_await stream.Sendmsg(*std::move(msg));  // no byte is copied
    if (!sent.ok()) co_return;
  }
}

weir::Task<absl::Status> Main(weir::Shard& shard) {
  absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = absl::GetFlag(FLAGS_port)});
  if (!listener.ok()) co_return listener.status();
  shard.Ready(absl::StrCat("tcp_echo on port ", listener->local().port));
  weir::AsyncScope connections(co_await weir::CurrentContext());
  absl::Status ended;
  while (ended.ok()) {
    absl::StatusOr<weir::TcpStream> stream = co_await listener->Accept();
    ended = stream.status();
    if (!stream.ok()) break;
    stream->SetNoDelay(true).IgnoreError();  // an echo is waited for
    connections.Spawn(Serve(*std::move(stream)));
  }
  co_await connections.Join();
  co_return ended;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Echoes what it receives over TCP.", Main);
}
