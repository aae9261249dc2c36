// Task<T>: a lazy coroutine. It starts when it is awaited (or spawned into an AsyncScope) and resumes its awaiter by
// symmetric transfer when it returns, so chains of tasks use no stack. A task belongs to one shard.
//
//   weir::Task<absl::StatusOr<int>> Answer();
//   weir::Task<void> Ask() { absl::StatusOr<int> n = co_await Answer(); ... }
//
// Ownership: the Task object owns the coroutine; awaiting it (as an rvalue) keeps it alive until the result is taken.
// Context: the awaited task inherits its awaiter's TaskContext: scheduler and stop token.
// Frames come from the Recycler. Exceptions do not cross tasks: one that escapes ends the process.
// A task knows the coroutine function it came from and where it was spawned: see task_dump.h.
//
// Read first: Lewis Baker, "C++ Coroutines: Understanding Symmetric Transfer" (2020).
#ifndef RUNTIME_CORE_TASK_H_
#define RUNTIME_CORE_TASK_H_

#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "runtime/base/check.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/recycler.h"
#include "runtime/core/scheduler.h"

namespace weir {

class AsyncScope;
template <typename T>
class Task;

namespace runtime {

class Gather;
template <typename T>
class Promise;

// What all tasks' promises share. As a ListNode it is linked in the AsyncScope that spawned the task.
class PromiseBase : public ListNode<PromiseBase> {
 public:
  const TaskContext* context() const { return context_; }
  void set_context(const TaskContext* context) {
    context_ = context;
    of_scope_ = false;
  }

  // What this task suspends in (waiter.h), when its stop is that of the scope that it was spawned in: then the scope finds
  // it there. False: it has to be registered with the stop token.
  bool HoldWaiter(StopCallback& waiter) {
    if (of_scope_) spawned_->waiter_ = &waiter;
    return of_scope_;
  }
  void DropWaiter() {
    if (of_scope_) spawned_->waiter_ = nullptr;
  }

  // To be called before suspending, with a string literal: what DumpTasks shows for the spawned task that this one
  // belongs to. Two stores; never taken back, so a task that runs or is ready shows its last wait.
  void NoteWait(const char* what) {
    spawned_->waits_for_ = what;
    spawned_->waits_in_ = function_;
  }

  // One line about a spawned task: what it is, where it was spawned, what it waits for and where.
  void Print(std::FILE* out, int indent) const;

  static void* operator new(size_t size) { return Recycler::ThisThread().Alloc(size); }
  static void operator delete(void* memory, size_t size) {
    Recycler::ThisThread().Free(memory, size);
  }

  // The default argument is evaluated in the coroutine, so it names that function.
  std::suspend_always initial_suspend(std::source_location function = std::source_location::current()) noexcept {
    function_ = function;
    return {};
  }
  [[noreturn]] void unhandled_exception() noexcept {
    CheckFailed(__FILE__, __LINE__, "an exception left a coroutine");
  }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
      PromiseBase& promise = self.promise();
      if (promise.spawned_ == &promise) [[unlikely]] {
        const absl::Status* status = nullptr;
        if constexpr (std::is_same_v<Promise, runtime::Promise<absl::Status>>) {
          status = &*self.promise().result();
        }
        return promise.LeaveScope(self, status);
      }
      return promise.continuation_;
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }

 private:
  friend class Gather;
  friend class weir::AsyncScope;
  template <typename T>
  friend class weir::Task;

  // Tells the scope, which destroys the finished coroutine unless it is kept. `status`: the result of a task that has
  // one of that type. Defined with AsyncScope.
  std::coroutine_handle<> LeaveScope(std::coroutine_handle<> self, const absl::Status* status) noexcept;

  const TaskContext* context_ = nullptr;
  // The spawned task that awaits this one, over however many others; or this, when it is one. nullptr: not started.
  PromiseBase* spawned_ = nullptr;
  // Who goes on at its end: the coroutine that awaits it, or the scope that spawned it.
  union {
    std::coroutine_handle<> continuation_ = nullptr;
    AsyncScope* scope_;
  };
  std::source_location function_;

  // Of a spawned task.
  std::source_location spawned_at_;
  std::source_location waits_in_;
  const char* waits_for_ = nullptr;
  StopCallback* waiter_ = nullptr;  // of it, or of what it awaits; nullptr: it does not wait, or not so

  bool of_scope_ = false;  // context_ is that of the scope
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    result_.emplace(std::forward<U>(value));
  }
  T TakeResult() { return *std::move(result_); }
  const std::optional<T>& result() const { return result_; }

 private:
  std::optional<T> result_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void TakeResult() {}
};

}  // namespace runtime

template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = runtime::Promise<T>;

  Task() = default;
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    bool await_ready() { return false; }
    template <typename Parent>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Parent> parent) {
      handle_.promise().continuation_ = parent;
      handle_.promise().context_ = parent.promise().context();
      handle_.promise().spawned_ = parent.promise().spawned_;
      handle_.promise().of_scope_ = parent.promise().of_scope_;
      return handle_;
    }
    T await_resume() { return handle_.promise().TakeResult(); }

   private:
    friend class Task;
    explicit Awaiter(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
  };

  // Awaiting starts the task on the awaiter's shard; the result is moved out.
  Awaiter operator co_await() && {
    WEIR_DCHECK(handle_ != nullptr);
    return Awaiter(handle_);
  }

 private:
  friend class AsyncScope;
  friend class runtime::Gather;
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

template <typename T>
Task<T> runtime::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> runtime::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

// `co_await CurrentContext()` gives the context the coroutine runs in, without suspending; for AsyncScope.
struct CurrentContext {
  const TaskContext* context = nullptr;
  bool await_ready() { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    context = self.promise().context();
    return false;
  }
  const TaskContext& await_resume() { return *context; }
};

}  // namespace weir

#endif  // RUNTIME_CORE_TASK_H_
