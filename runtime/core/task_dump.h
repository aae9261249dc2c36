// DumpTasks: what every live task of a shard waits for, for a person who looks at a program that seems stuck. A host
// calls it on SIGUSR1 (see runtime/io/signals.h), on the shard's own thread and outside coroutines.
//
//   weir: 2 tasks in 1 scope
//     scope at examples/echo.cc:30 in Task<absl::Status> Main(Shard &): 2 tasks
//       Task<void> Serve(TcpStream) (examples/echo.cc:12), spawned at examples/echo.cc:40, waits for tcp recv
//       Task<void> Tick() (examples/echo.cc:20), spawned at examples/echo.cc:41, waits for sleep
//
// A spawned task stands for all that it awaits in turn; where the waiting itself is in another coroutine, that is named
// too. A task that was woken and has not run yet still shows what it waited for.
#ifndef RUNTIME_CORE_TASK_DUMP_H_
#define RUNTIME_CORE_TASK_DUMP_H_

#include <cstdio>

#include "runtime/core/scheduler.h"

namespace weir {

void DumpTasks(std::FILE* out, runtime::Scheduler& scheduler);

}  // namespace weir

#endif  // RUNTIME_CORE_TASK_DUMP_H_
