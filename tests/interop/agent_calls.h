// AgentCalls: the table of handles, and each call of the protocol on it. Handles are of the whole process: any control
// connection may use any. A call that blocks ends early only with its control connection, and then its answer is
// lost, as that of a thread that nobody waits for; the socket stays.
#ifndef TESTS_INTEROP_AGENT_CALLS_H_
#define TESTS_INTEROP_AGENT_CALLS_H_

#include <memory>
#include <span>
#include <vector>

#include "netstack/host/shard.h"
#include "runtime/core/task.h"
#include "tests/interop/agent_message.h"
#include "tests/interop/posix_socket.h"

namespace weir::interop {

struct CallResult {
  int64_t rc = 0;  // or -errno
  PosixAddress address;
  size_t length = 0;  // of the data, in the memory that the call was given
};

class AgentCalls {
 public:
  static constexpr size_t kMaxHandles = 4096;
  static constexpr int kFirstHandle = 3;  // as a program's first descriptor

  explicit AgentCalls(Shard& shard);

  // Ends when the call does, or its stop is requested. `out` has room for kMaxData bytes and stays, as the request
  // does.
  Task<CallResult> Call(const Request& request, std::span<std::byte> out);

 private:
  using SocketPtr = std::shared_ptr<PosixSocket>;

  // nullptr: EBADF.
  SocketPtr Find(int handle) const;
  // The handle, or -EMFILE.
  int Insert(SocketPtr socket);
  int Open(int domain, int type, int protocol);
  bool Immediate(const Request& request, PosixSocket& socket, std::span<std::byte> out, CallResult* result);
  Task<CallResult> Accept(SocketPtr socket);
  Task<CallResult> Connect(SocketPtr socket, const Request& request);
  Task<CallResult> Recv(SocketPtr socket, const Request& request, std::span<std::byte> out);
  Task<CallResult> Send(SocketPtr socket, const Request& request);
  Task<CallResult> Close(const Request& request);
  Task<CallResult> PollCall(const Request& request, std::span<std::byte> out);
  void Reset();

  AgentStack stack_;
  std::vector<SocketPtr> handles_;
};

}  // namespace weir::interop

#endif  // TESTS_INTEROP_AGENT_CALLS_H_
