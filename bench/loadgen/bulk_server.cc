// bulk_server: what loadgen --mode=stream moves bytes to and from: on one port it reads and drops all it gets (discard,
// RFC 863), on the next it writes as long as the peer takes it (chargen, RFC 864, but for what is in the lines).
//
//   bulk_server --port=7803 --stack=xdp --interface=veth0 --address=10.0.0.2/24        discards on 7803, writes on 7804
//
// It reads as weir's programs do, frames as they lie, and writes from memory that is not the stack's, which is copied
// once, as a server with its content in a mapped file does.
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/when_all.h"

ABSL_FLAG(uint16_t, port, 9, "port on which it discards; on the next one it writes");
ABSL_FLAG(int, write_size, 65536, "bytes of a write");

namespace {

using weir::Task;

Task<void> Discard(weir::TcpStream stream) {
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok() || got->empty()) co_return;
  }
}

Task<void> Generate(weir::TcpStream stream, iovec content) {
  for (;;) {
    absl::Status sent = co_await stream.Sendmsg({&content, 1});
    if (!sent.ok()) co_return;
  }
}

template <typename Serve>
Task<absl::Status> Accept(weir::TcpListener listener, Serve serve) {
  weir::AsyncScope connections(co_await weir::CurrentContext());
  absl::Status ended;
  while (ended.ok()) {
    absl::StatusOr<weir::TcpStream> stream = co_await listener.Accept();
    ended = stream.status();
    if (stream.ok()) connections.Spawn(serve(*std::move(stream)));
  }
  co_await connections.Join();
  co_return ended;
}

Task<absl::Status> Main(weir::Shard& shard) {
  const uint16_t port = absl::GetFlag(FLAGS_port);
  const int size = absl::GetFlag(FLAGS_write_size);
  if (size < 1 || port == 65535) co_return absl::InvalidArgumentError("--write_size is at least 1, --port below 65535");
  absl::StatusOr<weir::TcpListener> discard = shard.ListenTcp({.port = port});
  if (!discard.ok()) co_return discard.status();
  absl::StatusOr<weir::TcpListener> generate = shard.ListenTcp({.port = static_cast<uint16_t>(port + 1)});
  if (!generate.ok()) co_return generate.status();
  std::vector<char> content(static_cast<size_t>(size), 'w');
  const iovec memory{content.data(), content.size()};
  shard.Ready(absl::StrCat("bulk_server discards on port ", port, " and writes on ", port + 1));
  auto [discarded, generated] = co_await weir::WhenAll(
      Accept(*std::move(discard), Discard),
      Accept(*std::move(generate), [memory](weir::TcpStream stream) { return Generate(std::move(stream), memory); }));
  co_return discarded.ok() ? generated : discarded;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Reads all it gets, and writes all that is taken, over TCP.", Main);
}
