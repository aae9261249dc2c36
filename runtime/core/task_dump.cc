#include "runtime/core/task_dump.h"

#include "runtime/core/async_scope.h"

namespace weir {

void DumpTasks(std::FILE* out, runtime::Scheduler& scheduler) {
  size_t tasks = 0, scopes = 0;
  scheduler.scopes().ForEach([&](AsyncScope& scope) {
    tasks += scope.live();
    if (scope.live() > 0) ++scopes;
  });
  std::fprintf(out, "weir: %zu task%s in %zu scope%s\n", tasks, tasks == 1 ? "" : "s", scopes, scopes == 1 ? "" : "s");
  scheduler.scopes().ForEach([&](AsyncScope& scope) {
    if (scope.live() > 0) scope.Print(out, 2);
  });
  std::fflush(out);
}

}  // namespace weir
