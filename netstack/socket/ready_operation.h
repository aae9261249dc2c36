// ReadyOperation: an Operation (operation.h) whose result is often there before anybody asks, as a datagram that came in
// one burst with others. Then it is taken where it lies, and no operation is made.
#ifndef NETSTACK_SOCKET_READY_OPERATION_H_
#define NETSTACK_SOCKET_READY_OPERATION_H_

#include <coroutine>
#include <new>
#include <utility>

#include "netstack/socket/operation.h"

namespace weir::netstack {

// Traits: those of Operation, with static bool Waits(Backend&), and then Result TakeWaiting(Backend&).
template <typename Traits>
class ReadyOperation {
 public:
  using Backend = typename Traits::Backend;

  ReadyOperation(Backend& backend, Traits&& traits) : backend_(&backend), traits_(std::move(traits)) {}
  // Until it is awaited.
  ReadyOperation(ReadyOperation&& other) noexcept : backend_(other.backend_), traits_(std::move(other.traits_)) {}
  [[gnu::always_inline]] ~ReadyOperation() {
    if (started_) [[unlikely]] Destroy(operation_);
  }

  ReadyOperation&& operator co_await() && { return std::move(*this); }

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (Traits::Waits(*backend_) && !self.promise().context()->stop.stop_requested()) [[likely]] return false;
    new (&operation_) Operation<Traits>(*backend_, std::move(traits_));
    started_ = true;
    return operation_.await_suspend(self);
  }
  auto await_resume() { return started_ ? operation_.await_resume() : traits_.TakeWaiting(*backend_); }

 private:
  [[gnu::noinline]] static void Destroy(Operation<Traits>& operation) { operation.~Operation(); }

  Backend* backend_;
  [[no_unique_address]] Traits traits_;
  bool started_ = false;
  union {
    Operation<Traits> operation_;
  };
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_READY_OPERATION_H_
