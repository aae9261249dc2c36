#include "examples/http_server/connection.h"

#include <chrono>
#include <utility>

#include "examples/http_server/request_parser.h"
#include "examples/http_server/response.h"
#include "runtime/core/sleep.h"

namespace http_server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// As nginx: keepalive_timeout, client_header_timeout, send_timeout, lingering_timeout.
constexpr seconds kIdle(75);
constexpr seconds kSend(60);
constexpr seconds kLinger(5);
// Read from disk and handed to the socket at a time: as many frames as a buffer holds.
constexpr uint64_t kChunk = 64 << 10;

int StatusOfError(const absl::Status& error) {
  if (absl::IsNotFound(error) || absl::IsInvalidArgument(error)) return 404;  // the latter: a name that is too long
  return absl::IsPermissionDenied(error) ? 403 : 500;
}

// The bytes of a large file: from the disk into frames, and from there, uncopied, to the peer.
weir::Task<absl::Status> SendFile(weir::TcpStream& stream, const Response& response) {
  for (uint64_t at = response.begin; at < response.end;) {
    weir::SendBuffer chunk = stream.NewSendBuffer(std::min(response.end - at, kChunk));
    if (chunk.empty()) {  // all frames are in use: other connections will give some back
      absl::Status slept = co_await weir::Sleep(milliseconds(1));
      if (!slept.ok()) co_return slept;
      continue;
    }
    absl::StatusOr<size_t> n = co_await response.file->file.Read(chunk.writable(), at);
    if (!n.ok()) co_return n.status();
    // Shorter than its Content-Length now: only closing the connection can say so.
    if (*n == 0) co_return absl::DataLossError("the file became shorter");
    chunk.Trim(*n);
    at += *n;
    absl::Status sent = co_await weir::WithTimeout(stream.Sendmsg(std::move(chunk)), kSend);
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}

weir::Task<absl::Status> SendResponse(weir::TcpStream& stream, const Response& response, bool head_only) {
  HeadBuffer head;
  absl::string_view body = response.text;
  const bool from_memory = response.file != nullptr && response.file->in_memory;
  if (from_memory) body = absl::string_view(response.file->bytes).substr(response.begin, response.body_size());
  if (head_only || response.status == 304) body = {};
  const iovec pieces[] = {{head.data(), WriteHead(response, head)}, {const_cast<char*>(body.data()), body.size()}};
  absl::Status sent = co_await weir::WithTimeout(stream.Sendmsg(pieces), kSend);
  if (!sent.ok() || head_only || response.file == nullptr || from_memory) co_return sent;
  co_return co_await SendFile(stream, response);
}

weir::Task<Response> Respond(FileCache& files, const RequestParser& request, weir::Nanos now_ns) {
  absl::StatusOr<CachedFilePtr> file = co_await files.Get(request.path(), now_ns);
  if (file.ok()) co_return RespondWithFile(request, *std::move(file));
  if (absl::IsFailedPrecondition(file.status())) {
    Response redirect = RespondWithStatus(301, request.keep_alive());
    redirect.location = request.raw_path();
    co_return redirect;
  }
  co_return RespondWithStatus(StatusOfError(file.status()), request.keep_alive());
}

// Ends a connection so that the last response arrives: unread input at close would make it a reset that overtakes it.
weir::Task<void> LingeringClose(weir::TcpStream& stream) {
  if (!stream.ShutdownWrite().ok()) co_return;
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> rest = co_await weir::WithTimeout(stream.Recvmsg(), kLinger);
    if (!rest.ok() || rest->empty()) co_return;
  }
}

}  // namespace

weir::Task<void> ServeConnection(weir::Shard& shard, FileCache& files, weir::TcpStream stream) {
  RequestParser request;
  weir::RecvBuffer in;
  for (bool keep_alive = true; keep_alive;) {
    RequestParser::State state = request.Feed(in);
    if (state == RequestParser::State::kIncomplete) {
      absl::StatusOr<weir::RecvBuffer> more = co_await weir::WithTimeout(stream.Recvmsg(), kIdle);
      if (!more.ok() || more->empty()) co_return;  // the peer is gone, or has nothing to say
      in = *std::move(more);
      continue;
    }
    const bool good = state == RequestParser::State::kComplete;
    const Response response =
        good ? co_await Respond(files, request, shard.now_ns()) : RespondWithStatus(request.error(), false);
    keep_alive = response.keep_alive;
    absl::Status sent = co_await SendResponse(stream, response, good && request.is_head());
    if (!sent.ok()) co_return;
    request.Reset();
  }
  in.Clear();
  co_await LingeringClose(stream);
}

}  // namespace http_server
