// Operation: the awaitable that the sockets' calls return, over any of the operations of backend.h. It is movable until
// it is awaited; awaiting makes the awaiter in place, which registers with the stop token of the awaiting task and
// starts the operation. It resumes through the shard's scheduler, never inside protocol input, or does not suspend at
// all when the operation completed at once.
#ifndef NETSTACK_SOCKET_OPERATION_H_
#define NETSTACK_SOCKET_OPERATION_H_

#include <coroutine>
#include <utility>

#include "absl/status/status.h"

namespace weir::netstack {

// Traits: `Backend`, `Op`; void Fill(Op&) moves the arguments in; static bool Start(Backend&, Op&);
// static void Cancel(Backend&, Op&); static Result Take(Op&).
template <typename Traits>
class Operation {
 public:
  using Op = typename Traits::Op;
  using Backend = typename Traits::Backend;

  Operation(Backend& backend, Traits traits) : backend_(&backend), traits_(std::move(traits)) {}

  class Awaiter : Op {
   public:
    Awaiter(Backend& backend, Traits&& traits) : Op(&OnStop), backend_(backend) {
      traits.Fill(static_cast<Op&>(*this));
    }
    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (!this->Prepare(self)) {
        this->status = absl::CancelledError("the scope was stopped");
        return false;
      }
      if (Traits::Start(backend_, *this)) return false;
      this->Listen(self);
      return true;
    }
    auto await_resume() { return Traits::Take(static_cast<Op&>(*this)); }

   private:
    static void OnStop(StopCallback& callback) {
      auto& self = static_cast<Awaiter&>(callback);
      Traits::Cancel(self.backend_, self);
    }
    Backend& backend_;
  };

  Awaiter operator co_await() && { return Awaiter(*backend_, std::move(traits_)); }

 private:
  Backend* backend_;
  Traits traits_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_OPERATION_H_
