// http_server: serves a directory over HTTP/1.1 with keep-alive, ranges and conditional requests.
//
//   http_server --root=/srv/www --port=8080                                                       over kernel sockets
//   http_server --root=/srv/www --port=80 --stack=xdp --interface=veth0 --address=10.0.0.2/24    over weir's own stack
//
// From here: request_parser.h reads a request, file_cache.h finds the file, response.h writes the head, connection.cc
// puts them together.
#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/http_server/connection.h"
#include "netstack/host/host_flags.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"

ABSL_FLAG(uint16_t, port, 8080, "TCP port to listen on");
ABSL_FLAG(std::string, root, ".", "directory to serve");

namespace {

weir::Task<absl::Status> Main(weir::Shard& shard) {
  const std::string root = absl::GetFlag(FLAGS_root);
  const weir::runtime::UniqueFd directory(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) co_return weir::runtime::ErrnoStatus(errno, absl::StrCat("--root=", root));
  absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = absl::GetFlag(FLAGS_port)});
  if (!listener.ok()) co_return listener.status();
  shard.Ready(absl::StrCat("http_server of ", root, " on port ", listener->local().port));

  http_server::FileCache files(shard.reactor(), directory.get());
  weir::AsyncScope connections(co_await weir::CurrentContext());
  absl::Status ended;
  while (ended.ok()) {
    absl::StatusOr<weir::TcpStream> stream = co_await listener->Accept();
    ended = stream.status();
    if (!stream.ok()) break;
    stream->SetNoDelay(true).IgnoreError();  // the end of an answer is waited for
    connections.Spawn(http_server::ServeConnection(shard, files, *std::move(stream)));
  }
  co_await connections.Join();
  co_return ended;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Serves a directory over HTTP/1.1.", Main);
}
