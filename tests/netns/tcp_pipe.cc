// tcp_pipe: a connection, as nc makes it: sends a file, says that this was all, and writes what comes to another file
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
ABSL_FLAG(int, connections, 1, "so many one after the other; --receive has what came over the last");
ABSL_FLAG(bool, fast_open, false, "data goes with the SYN, where --tcp has fastopen on");
ABSL_FLAG(bool, half_close, true, "FIN after the file is sent, not only after the peer's");
ABSL_FLAG(std::string, send, "/dev/null", "file to send");
ABSL_FLAG(std::string, receive, "/dev/null", "file for what comes");

namespace {

using weir::Task;

Task<absl::Status> Send(weir::TcpStream& stream, const std::string& bytes) {
  const iovec from{const_cast<char*>(bytes.data()), bytes.size()};
  absl::Status sent = co_await stream.Sendmsg({&from, 1});
  if (!sent.ok()) co_return sent;
  co_return absl::GetFlag(FLAGS_half_close) ? stream.ShutdownWrite() : absl::OkStatus();
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

// One connection over which all goes; the next one is asked for by the caller.
Task<absl::Status> Pipe(absl::StatusOr<weir::TcpStream> stream, const std::string& bytes) {
  if (!stream.ok()) co_return stream.status();
  std::ofstream out(absl::GetFlag(FLAGS_receive), std::ios::binary);
  if (!out) co_return absl::NotFoundError("--receive: no such file");
  auto [sent, received] = co_await weir::WhenAll(Send(*stream, bytes), Receive(*stream, out));
  out.flush();
  if (absl::GetFlag(FLAGS_fast_open)) {
    absl::StatusOr<weir::TcpInfo> info = stream->Info();
    std::printf("tcp_pipe: data of the SYN %s\n", info.ok() && info->syn_data ? "taken" : "not taken");
    std::fflush(stdout);
  }
  co_return sent.ok() ? received : sent;
}

Task<absl::Status> Main(weir::Shard& shard) {
  std::ifstream in(absl::GetFlag(FLAGS_send), std::ios::binary);
  if (!in) co_return absl::NotFoundError("--send: no such file");
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const bool fast_open = absl::GetFlag(FLAGS_fast_open);
  absl::StatusOr<weir::TcpListener> listener = absl::UnavailableError("connects");
  weir::Endpoint target;
  if (const uint16_t port = absl::GetFlag(FLAGS_listen); port != 0) {
    listener = shard.ListenTcp({.port = port}, {.fast_open = fast_open ? 16 : 0});
    if (!listener.ok()) co_return listener.status();
    shard.Ready(absl::StrCat("tcp_pipe on port ", port));
  } else {
    const absl::StatusOr<weir::Endpoint> parsed = weir::Endpoint::Parse(absl::GetFlag(FLAGS_connect));
    if (!parsed.ok()) co_return parsed.status();
    target = *parsed;
    shard.Ready("tcp_pipe");
  }
  absl::Status status;
  for (int i = absl::GetFlag(FLAGS_connections); i > 0 && status.ok(); --i) {
    if (listener.ok()) {
      status = co_await Pipe(co_await listener->Accept(), bytes);
    } else {
      status = co_await Pipe(co_await shard.ConnectTcp(target, {.fast_open = fast_open}), bytes);
    }
  }
  co_return status;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Sends a file over TCP and receives another.", Main);
}
