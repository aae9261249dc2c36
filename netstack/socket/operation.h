// Operation: the awaitable that the sockets' calls return, over any of the operations of backend.h. It is movable until
// it is awaited; awaiting makes the awaiter in place, which registers with the stop token of the awaiting task and
// starts the operation. It resumes through the shard's scheduler, never inside protocol input, or does not suspend at
// all when the operation completed at once.
#ifndef NETSTACK_SOCKET_OPERATION_H_
#define NETSTACK_SOCKET_OPERATION_H_

#include <coroutine>
#include <new>
#include <utility>

#include "absl/status/status.h"

namespace weir::netstack {

// Traits: `Backend`, `Op`; void Fill(Op&) moves the arguments in; static bool Start(Backend&, Op&);
// static void Cancel(Backend&, Op&); static Result Take(Op&). Where what is asked for may be there before anybody asks:
// static bool Waits(Backend&), and then Result TakeWaiting(Backend&).
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

  // The awaiter of what may be there already (Traits::Waits): then it is taken, and no operation is made.
  class ReadyAwaiter {
   public:
    ReadyAwaiter(Backend& backend, Traits&& traits) : backend_(backend), traits_(std::move(traits)) {}
    ReadyAwaiter(const ReadyAwaiter&) = delete;
    [[gnu::always_inline]] ~ReadyAwaiter() {
      if (started_) [[unlikely]] Destroy(awaiter_);
    }
    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (Traits::Waits(backend_) && !self.promise().context()->stop.stop_requested()) [[likely]] return false;
      new (&awaiter_) Awaiter(backend_, std::move(traits_));
      started_ = true;
      return awaiter_.await_suspend(self);
    }
    auto await_resume() { return started_ ? awaiter_.await_resume() : traits_.TakeWaiting(backend_); }

   private:
    [[gnu::noinline]] static void Destroy(Awaiter& awaiter) { awaiter.~Awaiter(); }

    Backend& backend_;
    [[no_unique_address]] Traits traits_;
    bool started_ = false;
    union {
      Awaiter awaiter_;
    };
  };

  auto operator co_await() && {
    if constexpr (requires { Traits::Waits(*backend_); }) {
      return ReadyAwaiter(*backend_, std::move(traits_));
    } else {
      return Awaiter(*backend_, std::move(traits_));
    }
  }

 private:
  Backend* backend_;
  Traits traits_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_OPERATION_H_
