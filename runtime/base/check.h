// WEIR_CHECK: our own invariants. A failed check is a bug in weir or in the program that uses it,
// never something that a peer can cause; it ends the process with one line that says where and what.
#ifndef RUNTIME_BASE_CHECK_H_
#define RUNTIME_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace weir::runtime {

[[noreturn, gnu::cold, gnu::noinline]] inline void CheckFailed(const char* file, int line,
                                                               const char* what) {
  std::fprintf(stderr, "weir: %s:%d: check failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace weir::runtime

#define WEIR_CHECK(condition)                                                        \
  do {                                                                               \
    if (!(condition)) [[unlikely]] {                                                 \
      ::weir::runtime::CheckFailed(__FILE__, __LINE__, #condition);                  \
    }                                                                                \
  } while (false)

#ifdef NDEBUG
#define WEIR_DCHECK(condition) \
  do {                         \
  } while (false && (condition))
#else
#define WEIR_DCHECK(condition) WEIR_CHECK(condition)
#endif

#endif  // RUNTIME_BASE_CHECK_H_
