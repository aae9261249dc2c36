// Shard::SubmitTo: runs a function on another shard's thread and resumes here with its result.
//
//   Shard& other = shard.peer(1);
//   uint64_t turns = co_await shard.SubmitTo(other, [&other] { return other.counters().turns; });
//
// One function is under way per call, so the mailbox holds no more of them than there are coroutines that wait.
//
// `fn` runs from the other shard's mailbox, in order with everything else that is sent there. Not cancellable: both
// shards live until the host's mains have ended, so the answer always comes.
#ifndef NETSTACK_HOST_SUBMIT_H_
#define NETSTACK_HOST_SUBMIT_H_

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "netstack/host/shard.h"
#include "runtime/core/scheduler.h"
#include "runtime/io/mailbox.h"

namespace weir {

template <typename Fn>
class SubmitAwaiter : runtime::Message, runtime::Resumable {
 public:
  using Result = decltype(std::declval<Fn&>()());

  SubmitAwaiter(Shard& here, Shard& there, Fn fn) : Message(&RunThere), here_(here), there_(there), fn_(std::move(fn)) {}

  bool await_ready() { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> self) {
    handle = self;
    self.promise().NoteWait("another shard");
    scheduler_ = self.promise().context()->scheduler;
    there_.mailbox().Post(*this);
  }
  Result await_resume() {
    if constexpr (!std::is_void_v<Result>) return *std::move(result_);
  }

 private:
  struct Answer : runtime::Message {
    explicit Answer(SubmitAwaiter& owner)
        : Message([](Message& m) {
            SubmitAwaiter& owner = static_cast<Answer&>(m).owner;
            owner.scheduler_->Schedule(owner);
          }),
          owner(owner) {}
    SubmitAwaiter& owner;
  };

  static void RunThere(Message& message) {
    auto& self = static_cast<SubmitAwaiter&>(message);
    if constexpr (std::is_void_v<Result>) {
      self.fn_();
    } else {
      self.result_.emplace(self.fn_());
    }
    self.here_.mailbox().Post(self.answer_);
  }

  Shard& here_;
  Shard& there_;
  Fn fn_;
  runtime::Scheduler* scheduler_ = nullptr;
  std::optional<std::conditional_t<std::is_void_v<Result>, std::monostate, Result>> result_;
  Answer answer_{*this};
};

template <typename Fn>
SubmitAwaiter<Fn> Shard::SubmitTo(Shard& there, Fn fn) {
  return SubmitAwaiter<Fn>(*this, there, std::move(fn));
}

}  // namespace weir

#endif  // NETSTACK_HOST_SUBMIT_H_
