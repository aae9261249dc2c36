// Operation: the awaitable that the sockets' calls return, over any of the operations of backend.h. It is movable until
// it is awaited; awaiting it, where it lies, registers with the stop token of the awaiting task and starts it. It
// resumes through the shard's scheduler, never inside protocol input, or does not suspend at all when it completed at
// once.
//
// It is its own awaiter: every connection keeps room for its calls in a coroutine's frame, so nothing is there twice.
#ifndef NETSTACK_SOCKET_OPERATION_H_
#define NETSTACK_SOCKET_OPERATION_H_

#include <coroutine>
#include <utility>

#include "absl/status/status.h"

namespace weir::netstack {

// Traits: `Backend`, `Op`; void Fill(Op&) moves the arguments in; static bool Start(Backend&, Op&);
// static void Cancel(Backend&, Op&); static Result Take(Op&). Op: kWaitsFor, for DumpTasks; void TakeArguments(Op&)
// moves them from another.
template <typename Traits>
class Operation : Traits::Op {
 public:
  using Op = typename Traits::Op;
  using Backend = typename Traits::Backend;

  Operation(Backend& backend, Traits&& traits) : Op(&OnStop), backend_(&backend) { traits.Fill(op()); }
  // From arguments as they are, with static Fill(Op&, arguments...): a temporary would have its own room in the frame.
  template <typename... Args>
    requires(sizeof...(Args) > 0)
  explicit Operation(Backend& backend, Args&&... args) : Op(&OnStop), backend_(&backend) {
    Traits::Fill(op(), std::forward<Args>(args)...);
  }
  Operation(Operation&& other) noexcept : Op(&OnStop), backend_(other.backend_) { op().TakeArguments(other.op()); }

  Operation&& operator co_await() && { return std::move(*this); }

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (!this->Prepare(self)) {
      this->status = absl::CancelledError("the scope was stopped");
      return false;
    }
    if (Traits::Start(*backend_, op())) return false;
    this->Listen(self, Op::kWaitsFor);
    return true;
  }
  auto await_resume() { return Traits::Take(op()); }

 private:
  static void OnStop(StopCallback& callback) {
    auto& self = static_cast<Operation&>(callback);
    Traits::Cancel(*self.backend_, self.op());
  }
  Op& op() { return *this; }

  Backend* backend_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_OPERATION_H_
