// AsyncScope: owns the tasks spawned into it. There are no detached tasks in weir: a scope is joined before it is
// destroyed, and destroying one with live children ends the process with a message.
//
//   AsyncScope connections(co_await CurrentContext());
//   ...  connections.Spawn(Serve(std::move(stream)));
//   connections.RequestStop();          // children's awaitables return kCancelled
//   co_await connections.Join();        // waits for the last child; not cancellable
//
// Children inherit the scope's context: its scheduler, and a stop token that is stopped with the scope or its parent.
#ifndef RUNTIME_CORE_ASYNC_SCOPE_H_
#define RUNTIME_CORE_ASYNC_SCOPE_H_

#include <coroutine>
#include <cstddef>

#include "runtime/core/scheduler.h"
#include "runtime/core/stop_token.h"
#include "runtime/core/task.h"

namespace weir {

class AsyncScope {
 public:
  explicit AsyncScope(const TaskContext& parent);
  AsyncScope(const AsyncScope&) = delete;
  AsyncScope& operator=(const AsyncScope&) = delete;
  ~AsyncScope();

  // Starts `task` at once, on this thread: it runs until it first suspends, then this returns. The scope owns it.
  void Spawn(Task<void> task);
  void RequestStop() { stop_.RequestStop(); }
  size_t live() const { return live_; }
  const TaskContext& context() const { return context_; }

  // Resumes through the scheduler when no child is left; at once when there is none. One joiner at a time.
  auto Join() {
    struct Awaiter {
      AsyncScope& scope;
      bool await_ready() { return scope.live_ == 0; }
      void await_suspend(std::coroutine_handle<> self) {
        WEIR_CHECK(!scope.joiner_.handle);
        scope.joiner_.handle = self;
      }
      void await_resume() { scope.joiner_.handle = nullptr; }
    };
    return Awaiter{*this};
  }

 private:
  friend class runtime::PromiseBase;
  void ChildDone(runtime::PromiseBase& child, std::coroutine_handle<> handle);

  LinkedStopSource stop_;
  TaskContext context_;
  runtime::List<runtime::PromiseBase, runtime::PromiseBase> children_;
  size_t live_ = 0;
  runtime::Resumable joiner_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_ASYNC_SCOPE_H_
