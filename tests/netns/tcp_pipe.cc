// tcp_pipe: one connection, as nc makes it: sends a file, says that this was all, and writes what comes to another file
// until the peer says so too. It connects, or takes the first connection. Over weir's own stack or kernel sockets.
//
//   tcp_pipe --connect=10.91.0.1:7 --send=request --receive=answer --stack=xdp --interface=weir0 --address=10.91.0.2/24
//   tcp_pipe --listen=7 --send=/dev/null --receive=got
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/when_all.h"

ABSL_FLAG(std::string, connect, "", "the peer, as ADDRESS:PORT");
ABSL_FLAG(uint16_t, listen, 0, "or the port to listen on");
ABSL_FLAG(std::string, send, "/dev/null", "file to send");
ABSL_FLAG(std::string, receive, "/dev/null", "file for what comes");

namespace {

using weir::Task;

Task<absl::Status> Send(weir::TcpStream& stream, const std::string& bytes) {
  const iovec from{const_cast<char*>(bytes.data()), bytes.size()};
  absl::Status sent = co_await stream.Sendmsg({&from, 1});
  if (!sent.ok()) co_return sent;
  co_return stream.ShutdownWrite();
}

Task<absl::Status> Receive(weir::TcpStream& stream, std::ofstream& file) {
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> msg = co_await stream.Recvmsg();
    if (!msg.ok()) co_return msg.status();
    if (msg->empty()) co_return absl::OkStatus();
    for (const iovec& slice : msg->buffers()) {
      file.write(static_cast<const char*>(slice.iov_base), static_cast<std::streamsize>(slice.iov_len));
    }
  }
}

Task<absl::StatusOr<weir::TcpStream>> Open(weir::Shard& shard) {
  if (const uint16_t port = absl::GetFlag(FLAGS_listen); port != 0) {
    absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = port});
    if (!listener.ok()) co_return listener.status();
    shard.Ready(absl::StrCat("tcp_pipe on port ", port));
    co_return co_await listener->Accept();
  }
  const absl::StatusOr<weir::Endpoint> target = weir::Endpoint::Parse(absl::GetFlag(FLAGS_connect));
  if (!target.ok()) co_return target.status();
  shard.Ready("tcp_pipe");
  co_return co_await shard.ConnectTcp(*target);
}

Task<absl::Status> Main(weir::Shard& shard) {
  std::ifstream in(absl::GetFlag(FLAGS_send), std::ios::binary);
  std::ofstream out(absl::GetFlag(FLAGS_receive), std::ios::binary);
  if (!in || !out) co_return absl::NotFoundError("--send or --receive: no such file");
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  absl::StatusOr<weir::TcpStream> stream = co_await Open(shard);
  if (!stream.ok()) co_return stream.status();
  auto [sent, received] = co_await weir::WhenAll(Send(*stream, bytes), Receive(*stream, out));
  out.flush();
  co_return sent.ok() ? received : sent;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Sends a file over TCP and receives another.", Main);
}
