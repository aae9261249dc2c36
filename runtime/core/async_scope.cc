#include "runtime/core/async_scope.h"

#include <cstdlib>
#include <utility>

namespace weir {
namespace {

// Of a function's text, which can be very long when it is a template or a lambda in one.
constexpr int kMaxName = 120;

bool SamePlace(const std::source_location& a, const std::source_location& b) {
  return a.function_name() == b.function_name() && a.line() == b.line();
}

}  // namespace

AsyncScope::AsyncScope(const TaskContext& parent, OnError on_error, std::source_location where)
    : stop_(parent.stop), context_{parent.scheduler, stop_.token()}, on_error_(on_error), where_(where) {
  context_.scheduler->scopes().PushBack(*this);
  stop_children_.Register(stop_.token());
}

AsyncScope::StopChildren::StopChildren(AsyncScope& scope)
    : StopCallback([](StopCallback& self) {
        static_cast<StopChildren&>(self).scope.children_.ForEach([](runtime::PromiseBase& child) {
          if (StopCallback* waiter = std::exchange(child.waiter_, nullptr)) waiter->Run();
        });
      }),
      scope(scope) {}

AsyncScope::~AsyncScope() {
  Unlink();
  stop_children_.Unregister();
  if (live_ == 0 && !joiner_.handle) return;
  std::fprintf(stderr, "weir: %s:%u: AsyncScope destroyed with %zu live task%s: co_await Join() first\n",
               where_.file_name(), where_.line(), live_, live_ == 1 ? "" : "s");
  PrintChildren(stderr, 2);
  std::abort();
}

void AsyncScope::Start(std::coroutine_handle<> handle, runtime::PromiseBase& child,
                       const std::source_location& where) {
  child.scope_ = this;
  child.context_ = &context_;
  child.spawned_ = &child;
  child.of_scope_ = true;
  child.spawned_at_ = where;
  children_.PushBack(child);
  ++live_;
  // A joiner that was about to resume waits for this child too.
  if (joiner_.linked()) joiner_.Unlink();
  handle.resume();
}

void AsyncScope::ChildDone(runtime::PromiseBase& child, std::coroutine_handle<> handle, const absl::Status* status) {
  child.Unlink();
  if (keeps_children_) {
    if (first_done_ == nullptr) {
      first_done_ = &child;
      if (stop_on_first_done_) stop_.RequestStop();
    }
  } else {
    if (status != nullptr && !status->ok()) {
      if (status_.ok() || (absl::IsCancelled(status_) && !absl::IsCancelled(*status))) status_ = *status;
      if (on_error_ == OnError::kStopAll) stop_.RequestStop();
    }
    handle.destroy();
  }
  if (--live_ == 0 && joiner_.handle) context_.scheduler->Schedule(joiner_);
}

void AsyncScope::Print(std::FILE* out, int indent) {
  std::fprintf(out, "%*sscope at %s:%u in %.*s: %zu task%s%s\n", indent, "", where_.file_name(), where_.line(),
               kMaxName, where_.function_name(), live_, live_ == 1 ? "" : "s",
               stop_.stop_requested() ? ", stop requested" : "");
  PrintChildren(out, indent + 2);
}

void AsyncScope::PrintChildren(std::FILE* out, int indent) {
  children_.ForEach([&](runtime::PromiseBase& child) { child.Print(out, indent); });
}

void runtime::PromiseBase::Print(std::FILE* out, int indent) const {
  std::fprintf(out, "%*s%.*s (%s:%u), spawned at %s:%u, ", indent, "", kMaxName, function_.function_name(),
               function_.file_name(), function_.line(), spawned_at_.file_name(), spawned_at_.line());
  if (waits_for_ == nullptr) {
    std::fprintf(out, "has not waited\n");
  } else if (SamePlace(waits_in_, function_)) {
    std::fprintf(out, "waits for %s\n", waits_for_);
  } else {
    std::fprintf(out, "waits for %s in %.*s (%s:%u)\n", waits_for_, kMaxName, waits_in_.function_name(),
                 waits_in_.file_name(), waits_in_.line());
  }
}

std::coroutine_handle<> runtime::PromiseBase::LeaveScope(std::coroutine_handle<> self,
                                                         const absl::Status* status) noexcept {
  scope_->ChildDone(*this, self, status);
  return std::noop_coroutine();
}

}  // namespace weir
