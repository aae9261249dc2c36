// Counts calls of malloc and its kin in this program, operator new included: it replaces them. For tests that expect
// none; link it into a test of its own. Not with sanitizers, which replace malloc themselves.
#ifndef TESTS_SUPPORT_MALLOC_COUNT_H_
#define TESTS_SUPPORT_MALLOC_COUNT_H_

#include <cstdint>

namespace weir::testing {

// Whether this build counts.
bool MallocCounted();
// Allocations by any thread so far.
uint64_t MallocCount();

}  // namespace weir::testing

#endif  // TESTS_SUPPORT_MALLOC_COUNT_H_
