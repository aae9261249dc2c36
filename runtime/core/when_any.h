// WhenAny: awaits several tasks that run side by side until one has finished, whatever its result.
//
//   std::variant<Command, absl::Status> first = co_await WhenAny(ReadCommand(stream), NextTick());
//   if (first.index() == 0) Handle(std::get<0>(first));
//
//   auto [index, reply] = co_await WhenAny(std::move(queries));               // a std::vector<Task<Reply>>
//
// The tasks start in order, each until it first suspends; when one finishes at once, those behind it are not started.
// When the first has finished, the others are asked to stop, and the call resumes, through the scheduler, after they
// have come to their end; their results are dropped. So nothing outlives the call, and one that does not heed its stop
// delays it. A stop of the awaiting scope reaches each task. Task<void> gives std::monostate.
#ifndef RUNTIME_CORE_WHEN_ANY_H_
#define RUNTIME_CORE_WHEN_ANY_H_

#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/core/gather.h"
#include "runtime/core/task.h"

namespace weir {
namespace runtime {

// The result of the one that finished first, as the alternative of its index.
template <typename Variant, typename... Ts, size_t... kIndices>
Variant TakeFirst(const Gather& gather, std::index_sequence<kIndices...>, Task<Ts>&... tasks) {
  std::optional<Variant> first;
  ((gather.FinishedFirst(tasks) ? static_cast<void>(first.emplace(std::in_place_index<kIndices>, Gather::Take(tasks)))
                                : static_cast<void>(0)),
   ...);
  return *std::move(first);
}

}  // namespace runtime

// The variant's index() is that of the task that finished first.
template <typename... Ts>
  requires(sizeof...(Ts) > 0)
Task<std::variant<runtime::ValueOf<Ts>...>> WhenAny(Task<Ts>... tasks) {
  runtime::Gather gather(co_await CurrentContext(), runtime::Gather::Until::kFirst);
  (gather.Start(tasks), ...);
  co_await gather.Join();
  co_return runtime::TakeFirst<std::variant<runtime::ValueOf<Ts>...>>(gather, std::index_sequence_for<Ts...>(),
                                                                      tasks...);
}

template <typename T>
struct FirstResult {
  size_t index;
  T value;
};

// `tasks` must not be empty.
template <typename T>
Task<FirstResult<runtime::ValueOf<T>>> WhenAny(std::vector<Task<T>> tasks) {
  WEIR_CHECK(!tasks.empty());
  runtime::Gather gather(co_await CurrentContext(), runtime::Gather::Until::kFirst);
  for (Task<T>& task : tasks) gather.Start(task);
  co_await gather.Join();
  size_t index = 0;
  while (!gather.FinishedFirst(tasks[index])) ++index;
  co_return FirstResult<runtime::ValueOf<T>>{index, runtime::Gather::Take(tasks[index])};
}

}  // namespace weir

#endif  // RUNTIME_CORE_WHEN_ANY_H_
