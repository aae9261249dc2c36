// WhenAll: awaits several tasks that run side by side, and gives all their results.
//
//   auto [user, rights] = co_await WhenAll(LoadUser(id), LoadRights(id));
//   std::vector<absl::Status> saved = co_await WhenAll(std::move(saves));     // a std::vector<Task<absl::Status>>
//
// The tasks start in order, each until it first suspends. Nothing outlives the call: it resumes, through the scheduler,
// when the last has finished. An error of one does not stop the others (AsyncScope::OnError::kStopAll does that). A
// stop of the awaiting scope reaches each task, whose result then says so. Task<void> gives std::monostate.
#ifndef RUNTIME_CORE_WHEN_ALL_H_
#define RUNTIME_CORE_WHEN_ALL_H_

#include <tuple>
#include <vector>

#include "runtime/core/gather.h"
#include "runtime/core/task.h"

namespace weir {

template <typename... Ts>
Task<std::tuple<runtime::ValueOf<Ts>...>> WhenAll(Task<Ts>... tasks) {
  runtime::Gather gather(co_await CurrentContext(), runtime::Gather::Until::kAll);
  (gather.Start(tasks), ...);
  co_await gather.Join();
  co_return std::tuple<runtime::ValueOf<Ts>...>(runtime::Gather::Take(tasks)...);
}

// The results in the order of the tasks. Allocates the vector of results.
template <typename T>
Task<std::vector<runtime::ValueOf<T>>> WhenAll(std::vector<Task<T>> tasks) {
  runtime::Gather gather(co_await CurrentContext(), runtime::Gather::Until::kAll);
  for (Task<T>& task : tasks) gather.Start(task);
  co_await gather.Join();
  std::vector<runtime::ValueOf<T>> results;
  results.reserve(tasks.size());
  for (Task<T>& task : tasks) results.push_back(runtime::Gather::Take(task));
  co_return results;
}

}  // namespace weir

#endif  // RUNTIME_CORE_WHEN_ALL_H_
