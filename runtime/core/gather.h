// Gather: tasks that run side by side and whose results are taken when all have ended. Under WhenAll and WhenAny, which
// own the tasks; a finished one stays in its Task until the result is taken, so nothing is stored twice.
#ifndef RUNTIME_CORE_GATHER_H_
#define RUNTIME_CORE_GATHER_H_

#include <source_location>
#include <type_traits>
#include <variant>

#include "runtime/core/async_scope.h"
#include "runtime/core/task.h"

namespace weir::runtime {

// What a Task<T> gives in a tuple, a vector or a variant.
template <typename T>
using ValueOf = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

class Gather {
 public:
  enum class Until { kAll, kFirst };

  // With kFirst, the others are asked to stop as soon as one has finished.
  Gather(const TaskContext& parent, Until until) : scope_(parent) {
    scope_.keeps_children_ = true;
    scope_.stop_on_first_done_ = until == Until::kFirst;
  }

  // Runs `task` until it first suspends. The Task stays where it is until Join has returned; with kFirst, it is not
  // started at all when another has finished already.
  template <typename T>
  void Start(Task<T>& task, std::source_location where = std::source_location::current()) {
    if (scope_.stop_on_first_done_ && scope_.first_done_ != nullptr) return;
    WEIR_CHECK(task.handle_ != nullptr);
    scope_.Start(task.handle_, task.handle_.promise(), where);
  }

  // When the last has finished; not cancellable, but the stop of the parent reaches every task.
  auto Join() { return scope_.Join(); }

  // Whether `task` finished before all others.
  template <typename T>
  bool FinishedFirst(const Task<T>& task) const {
    return scope_.first_done_ == &task.handle_.promise();
  }

  // The result of a finished task, once.
  template <typename T>
  static ValueOf<T> Take(Task<T>& task) {
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return task.handle_.promise().TakeResult();
    }
  }

 private:
  AsyncScope scope_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_CORE_GATHER_H_
