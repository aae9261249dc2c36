// Loaded into a program by LD_PRELOAD, together with malloc_count.cc: writes the number of allocations to the file that
// WEIR_MALLOC_REPORT names when the program ends.
#include <cstdio>
#include <cstdlib>

#include "tests/support/malloc_count.h"

namespace {

[[gnu::destructor]] void Report() {
  const unsigned long count = weir::testing::MallocCount();
  const char* path = std::getenv("WEIR_MALLOC_REPORT");
  std::FILE* file = path == nullptr ? nullptr : std::fopen(path, "we");
  if (file == nullptr) return;
  std::fprintf(file, "%lu\n", count);
  std::fclose(file);
}

}  // namespace
