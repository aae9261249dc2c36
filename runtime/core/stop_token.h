// StopSource, StopToken, StopCallback: cancellation within one shard, after std::stop_token but without atomics
// and without allocation. A request only marks: callbacks cancel the operation they belong to, which then
// completes in its own time and resumes its coroutine through the scheduler.
#ifndef RUNTIME_CORE_STOP_TOKEN_H_
#define RUNTIME_CORE_STOP_TOKEN_H_

#include <coroutine>

#include "runtime/base/intrusive_list.h"

namespace weir {

namespace runtime {

// A suspended coroutine and its place in a list: in the ready queue, or before that among what a stop would cancel. A
// coroutine that waits leaves the one list when it is woken and enters the other, so one place does for both.
struct Resumable : ListNode<Resumable> {
  std::coroutine_handle<> handle;
};

}  // namespace runtime

class StopSource;

// A view of a StopSource that outlives it; a default-constructed token is never stopped.
class StopToken {
 public:
  StopToken() = default;
  bool stop_requested() const;

 private:
  friend class StopSource;
  friend class StopCallback;
  explicit StopToken(StopSource* source) : source_(source) {}

  StopSource* source_ = nullptr;
};

// Called at most once, from StopSource::RequestStop, when registered. Unregister before destruction.
class StopCallback : public runtime::Resumable {
 public:
  using Function = void (*)(StopCallback& self);

  explicit StopCallback(Function function) : function_(function) {}

  // False, and not registered, when the stop was requested before.
  bool Register(const StopToken& token);
  // For who keeps it elsewhere and hears of the stop.
  void Run() { function_(*this); }
  void Unregister() {
    if (linked()) Unlink();
  }

 private:
  friend class StopSource;
  Function function_;
};

class StopSource {
 public:
  StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  StopToken token() { return StopToken(this); }
  bool stop_requested() const { return requested_; }

  // Marks the stop and runs the callbacks, each once; a second request does nothing.
  void RequestStop() {
    if (requested_) return;
    requested_ = true;
    while (!callbacks_.empty()) {
      auto& callback = static_cast<StopCallback&>(*callbacks_.PopFront());
      callback.function_(callback);
    }
  }

 private:
  friend class StopCallback;
  bool requested_ = false;
  runtime::List<runtime::Resumable, runtime::Resumable> callbacks_;  // each a StopCallback
};

// A source that is stopped with its parent, or on its own.
class LinkedStopSource : public StopSource {
 public:
  explicit LinkedStopSource(const StopToken& parent) : link_(*this) {
    if (!link_.Register(parent)) RequestStop();
  }
  ~LinkedStopSource() { link_.Unregister(); }

 private:
  struct Link : StopCallback {
    explicit Link(LinkedStopSource& owner)
        : StopCallback([](StopCallback& self) { static_cast<Link&>(self).owner.RequestStop(); }),
          owner(owner) {}
    LinkedStopSource& owner;
  };
  Link link_;
};

inline bool StopToken::stop_requested() const {
  return source_ != nullptr && source_->stop_requested();
}

inline bool StopCallback::Register(const StopToken& token) {
  if (token.source_ == nullptr) return true;
  if (token.source_->requested_) return false;
  token.source_->callbacks_.PushBack(*this);
  return true;
}

}  // namespace weir

#endif  // RUNTIME_CORE_STOP_TOKEN_H_
