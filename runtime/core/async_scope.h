// AsyncScope: owns the tasks spawned into it. There are no detached tasks in weir: a scope is joined before it is
// destroyed, and destroying one with live children ends the process with a message that names them.
//
//   AsyncScope connections(co_await CurrentContext());
//   ...  connections.Spawn(Serve(std::move(stream)));
//   connections.RequestStop();          // children's awaitables return kCancelled
//   co_await connections.Join();        // waits for the last child; not cancellable
//
// Children inherit the scope's context: its scheduler, and a stop token that is stopped with the scope or its parent.
// A child may give an absl::Status; Join then gives the first error, which can also stop the siblings:
//
//   AsyncScope copies(co_await CurrentContext(), AsyncScope::OnError::kStopAll);
//   copies.Spawn(CopyUp());  copies.Spawn(CopyDown());
//   co_return co_await copies.Join();
#ifndef RUNTIME_CORE_ASYNC_SCOPE_H_
#define RUNTIME_CORE_ASYNC_SCOPE_H_

#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <source_location>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/stop_token.h"
#include "runtime/core/task.h"

namespace weir {

namespace runtime {
class Gather;
}  // namespace runtime

// As a ListNode it is linked in the Scheduler, for DumpTasks.
class AsyncScope : public runtime::ListNode<AsyncScope> {
 public:
  // What a child's error does besides being the result of Join.
  enum class OnError { kGoOn, kStopAll };

  struct JoinAwaiter {
    AsyncScope& scope;
    bool await_ready() {
      WEIR_CHECK(!scope.joiner_.handle);
      return scope.live_ == 0;
    }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> self) {
      self.promise().NoteWait("the tasks of a scope");
      scope.joiner_.handle = self;
    }
    // By reference: a scope whose children give nothing is joined without looking at the result.
    const absl::Status& await_resume() {
      scope.joiner_.handle = nullptr;
      return scope.status_;
    }
  };

  explicit AsyncScope(const TaskContext& parent, OnError on_error = OnError::kGoOn,
                      std::source_location where = std::source_location::current());
  AsyncScope(const AsyncScope&) = delete;
  AsyncScope& operator=(const AsyncScope&) = delete;
  ~AsyncScope();

  // Starts `task` at once, on this thread: it runs until it first suspends, then this returns. The scope owns it.
  template <typename T>
  void Spawn(Task<T> task, std::source_location where = std::source_location::current()) {
    static_assert(std::is_void_v<T> || std::is_same_v<T, absl::Status>,
                  "nobody takes the result of a spawned task: give absl::Status or nothing, or see when_all.h");
    auto handle = std::exchange(task.handle_, nullptr);
    Start(handle, handle.promise(), where);
  }
  void RequestStop() { stop_.RequestStop(); }
  size_t live() const { return live_; }
  const TaskContext& context() const { return context_; }

  // Resumes through the scheduler when no child is left; at once when there is none. One joiner at a time. Gives the
  // first error of a child since the scope was made, or OK. kCancelled gives way to any other error: it is usually the
  // answer to a stop, not the reason for it.
  JoinAwaiter Join() { return JoinAwaiter{*this}; }

  // Prints a line for the scope and one for each child, `indent` spaces from the left. See task_dump.h.
  void Print(std::FILE* out, int indent);

 private:
  friend class runtime::PromiseBase;
  friend class runtime::Gather;

  void Start(std::coroutine_handle<> handle, runtime::PromiseBase& child, const std::source_location& where);
  void ChildDone(runtime::PromiseBase& child, std::coroutine_handle<> handle, const absl::Status* status);
  void PrintChildren(std::FILE* out, int indent);

  // Cancels what the children wait for: each is known to its task, and not in the list of the source, since whoever waits
  // leaves it again with every message, and its neighbours there are as far apart in memory as connections are.
  struct StopChildren : StopCallback {
    explicit StopChildren(AsyncScope& scope);
    AsyncScope& scope;
  };

  LinkedStopSource stop_;
  StopChildren stop_children_{*this};
  TaskContext context_;
  runtime::List<runtime::PromiseBase, runtime::PromiseBase> children_;
  size_t live_ = 0;
  runtime::Resumable joiner_;
  // For Gather: the first child to finish, and whether that stops the others.
  const runtime::PromiseBase* first_done_ = nullptr;
  bool stop_on_first_done_ = false;
  bool keeps_children_ = false;  // Task objects own them, which still take the results
  const OnError on_error_;
  absl::Status status_;
  const std::source_location where_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_ASYNC_SCOPE_H_
