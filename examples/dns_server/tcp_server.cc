#include "examples/dns_server/tcp_server.h"

#include <chrono>
#include <memory>
#include <utility>

#include "examples/dns_server/tcp_answers.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/time.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"

namespace dns_server {
namespace {

using std::chrono::milliseconds;

// A query that comes in more pieces than these is moved together: a chain has no room for any number.
constexpr size_t kPieces = 8;

// False: there are no frames to move it to.
bool MoveTogether(weir::TcpStream& stream, weir::RecvBuffer& in) {
  weir::SendBuffer copy = stream.NewSendBuffer(in.size());
  if (copy.size() < in.size()) return false;
  size_t at = 0;
  for (const iovec& piece : copy.writable()) {
    at += in.CopyTo({static_cast<std::byte*>(piece.iov_base), piece.iov_len}, at);
  }
  in = weir::RecvBuffer(std::move(copy));
  return true;
}

// A connection, in the list by the time of its last query.
struct Connection : weir::runtime::ListNode<Connection> {
  explicit Connection(weir::TcpStream accepted) : stream(std::move(accepted)) {}
  ~Connection() {
    if (linked()) Unlink();
  }
  weir::TcpStream stream;
  weir::Nanos active_ns = 0;
  bool ended = false;  // by us, for the client said nothing for too long
};

// What the connections of a shard share. One list of them all, instead of a timer for each that every query puts off.
class Server {
 public:
  Server(const AnswerTable& table, const TcpLimits& limits, const weir::TaskContext& context)
      : limits_(limits), scheduler_(*context.scheduler), answers_(table) {}

  weir::Task<void> Serve(weir::TcpStream stream);
  // Ends connections that are idle (RFC 7766 §6.2.3), until the scope is stopped: first our side, and after as long
  // again, for clients that do not care, all of it.
  weir::Task<void> EndIdle();

 private:
  void NoteActive(Connection& connection) {
    connection.active_ns = scheduler_.now_ns();
    if (connection.linked()) connection.Unlink();
    connections_.PushBack(connection);
  }

  const TcpLimits limits_;
  weir::runtime::Scheduler& scheduler_;
  TcpAnswers answers_;
  weir::runtime::List<Connection, Connection> connections_;
};

weir::Task<void> Server::Serve(weir::TcpStream accepted) {
  Connection connection(std::move(accepted));
  weir::TcpStream& stream = connection.stream;
  const TcpAnswers::NewBuffer new_buffer = [&stream](size_t bytes) { return stream.NewSendBuffer(bytes); };
  NoteActive(connection);
  weir::RecvBuffer in;
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> more = co_await stream.Recvmsg();
    if (!more.ok() || more->empty()) co_return;
    if (!connection.ended) NoteActive(connection);
    while (!more->empty()) {
      if (in.buffers().size() > kPieces && !MoveTogether(stream, in)) co_return;
      in.Append(std::move(*more));
      for (auto next = TcpAnswers::Next::kAgain; next != TcpAnswers::Next::kReceive;) {
        weir::SendBuffer out;
        next = answers_.Answer(new_buffer, in, &out);
        if (!out.empty() && !(co_await stream.Sendmsg(std::move(out))).ok()) co_return;
        if (next == TcpAnswers::Next::kClose) co_return;
        // All frames are in use: other connections will give some back.
        if (next == TcpAnswers::Next::kNoFrames && !(co_await weir::Sleep(milliseconds(1))).ok()) co_return;
      }
    }
  }
}

weir::Task<void> Server::EndIdle() {
  const weir::Nanos timeout_ns = weir::ToNanos(limits_.idle_timeout);
  for (;;) {
    const weir::Nanos oldest_ns = connections_.empty() ? scheduler_.now_ns() : connections_.front().active_ns;
    const weir::Nanos due_ns = oldest_ns + timeout_ns - scheduler_.now_ns();
    if (due_ns > 0) {
      if (!(co_await weir::Sleep(std::chrono::nanoseconds(due_ns))).ok()) co_return;
      continue;
    }
    Connection& connection = *connections_.PopFront();
    if (connection.ended) {
      connection.stream.Reset();
    } else {
      connection.ended = true;
      connection.stream.ShutdownWrite().IgnoreError();
      NoteActive(connection);
    }
  }
}

}  // namespace

weir::Task<absl::Status> ServeTcp(weir::TcpListener listener, const AnswerTable& table, TcpLimits limits) {
  const weir::TaskContext& context = co_await weir::CurrentContext();
  const auto server = std::make_unique<Server>(table, limits, context);
  weir::AsyncScope idle(context), connections(context);
  idle.Spawn(server->EndIdle());
  absl::Status ended;
  for (;;) {
    absl::StatusOr<weir::TcpStream> stream = co_await listener.Accept();
    ended = stream.status();
    if (!stream.ok()) break;
    if (connections.live() >= limits.connections) continue;
    stream->SetNoDelay(true).IgnoreError();  // each answer is waited for
    connections.Spawn(server->Serve(*std::move(stream)));
  }
  co_await connections.Join();
  idle.RequestStop();
  co_await idle.Join();
  co_return ended;
}

}  // namespace dns_server
