#include "runtime/core/async_scope.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace weir {

AsyncScope::AsyncScope(const TaskContext& parent)
    : stop_(parent.stop), context_{parent.scheduler, stop_.token()} {}

AsyncScope::~AsyncScope() {
  if (live_ == 0) return;
  std::fprintf(stderr, "weir: AsyncScope destroyed with %zu live tasks: co_await Join() first\n",
               live_);
  std::abort();
}

void AsyncScope::Spawn(Task<void> task) {
  auto handle = std::exchange(task.handle_, nullptr);
  runtime::PromiseBase& child = handle.promise();
  child.scope_ = this;
  child.context_ = &context_;
  children_.PushBack(child);
  ++live_;
  // A joiner that was about to resume waits for this child too.
  if (joiner_.linked()) joiner_.Unlink();
  handle.resume();
}

void AsyncScope::ChildDone(runtime::PromiseBase& child, std::coroutine_handle<> handle) {
  child.Unlink();
  handle.destroy();
  if (--live_ == 0 && joiner_.handle) context_.scheduler->Schedule(joiner_);
}

std::coroutine_handle<> runtime::PromiseBase::LeaveScope(std::coroutine_handle<> self) noexcept {
  scope_->ChildDone(*this, self);
  return std::noop_coroutine();
}

}  // namespace weir
