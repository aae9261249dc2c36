// udp_client: sends a line to a server over UDP and prints the answer. That nobody listens there is told at once, by the
// error that the server's host sends.
//
//   udp_client --server=127.0.0.1:7 --say=hello                                            over kernel sockets
//   udp_client --server=10.0.0.1:7 --stack=xdp --interface=veth0 --address=10.0.0.2/24     over weir's own stack
#include <chrono>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/sleep.h"

ABSL_FLAG(std::string, server, "127.0.0.1:7", "whom to ask, as ADDRESS:PORT");
ABSL_FLAG(std::string, say, "hello", "what to send");
ABSL_FLAG(int, tries, 3, "how often to send it, a second apart, while there is no answer");

namespace {

weir::Task<absl::Status> Main(weir::Shard& shard) {
  const absl::StatusOr<weir::Endpoint> server = weir::Endpoint::Parse(absl::GetFlag(FLAGS_server));
  if (!server.ok()) co_return server.status();
  const weir::IpAddress any = server->ip.is_v4() ? weir::IpAddress::V4(0) : weir::IpAddress();
  absl::StatusOr<weir::UdpSocket> socket = shard.BindUdp({any, 0});
  if (!socket.ok()) co_return socket.status();
  absl::Status done = socket->Connect(*server);
  if (!done.ok()) co_return done;
  shard.Ready(absl::StrCat("udp_client from ", socket->local().ToString()));
  std::string line = absl::GetFlag(FLAGS_say);
  const iovec text{line.data(), line.size()};
  for (int tries = absl::GetFlag(FLAGS_tries); tries > 0; --tries) {
    done = co_await socket->Sendmsg({&text, 1});
    if (!done.ok()) co_return done;
    absl::StatusOr<weir::Datagram> got = co_await weir::WithTimeout(socket->Recvmsg(), std::chrono::seconds(1));
    if (absl::IsDeadlineExceeded(got.status())) continue;
    if (!got.ok()) co_return got.status();
    for (const iovec& piece : got->data.buffers()) std::fwrite(piece.iov_base, 1, piece.iov_len, stdout);
    std::printf("\n");
    co_return absl::OkStatus();
  }
  co_return absl::DeadlineExceededError(absl::StrCat("no answer from ", server->ToString()));
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Asks a server over UDP.", Main);
}
