#include "runtime/buffer/memory_area.h"

#include <sys/mman.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

constexpr int kProtection = PROT_READ | PROT_WRITE;
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;

// Puts pages behind all of it; unlike a first touch it fails where there are none (a cgroup's limit, too many
// reservations), instead of killing the process. Linux 5.14.
bool Populate(std::byte* begin, size_t size) { return madvise(begin, size, MADV_POPULATE_WRITE) == 0; }

std::byte* MapHugetlb(size_t size) {
  constexpr int kTwoMiB = 21 << MAP_HUGE_SHIFT;
  void* const at = mmap(nullptr, size, kProtection, kFlags | MAP_HUGETLB | kTwoMiB, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(at);
  if (Populate(begin, size)) return begin;
  munmap(at, size);
  return nullptr;
}

// A huge page begins at a multiple of its size: one more is mapped, and what lies around the area unmapped.
std::byte* MapAligned(size_t size) {
  const size_t mapped = size + MemoryArea::kHugePage;
  void* const at = mmap(nullptr, mapped, kProtection, kFlags, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(at);
  const size_t before = (MemoryArea::kHugePage - reinterpret_cast<uintptr_t>(at) % MemoryArea::kHugePage) %
                        MemoryArea::kHugePage;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + size, mapped - size - before);
  return begin + before;
}

// Whether all of the area is in huge pages, as /proc/self/smaps says; false where that cannot be read. A mapping there may
// be larger than the area, which it then was merged into.
bool InHugePages(const std::byte* begin, size_t size) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/smaps", "re"), &std::fclose);
  if (file == nullptr) return false;
  const auto address = reinterpret_cast<uintptr_t>(begin);
  bool found = false;
  char line[512];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    uintptr_t from, to;
    size_t kilobytes;
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      found = from <= address && address < to;
    } else if (found && std::sscanf(line, "AnonHugePages: %zu kB", &kilobytes) == 1) {
      return kilobytes >= size >> 10;
    }
  }
  return false;
}

}  // namespace

const char* PagesName(Pages pages) {
  switch (pages) {
    case Pages::kHugetlb:
      return "2 MiB pages (hugetlb)";
    case Pages::kTransparent:
      return "2 MiB pages (transparent)";
    case Pages::kPlain:
      return "4 KiB pages";
  }
  return "unknown pages";
}

absl::StatusOr<MemoryArea> MemoryArea::Map(size_t size, bool populate) {
  const size_t rounded = (size + kHugePage - 1) / kHugePage * kHugePage;
  if (std::byte* begin = populate ? MapHugetlb(rounded) : nullptr) return MemoryArea({begin, rounded}, Pages::kHugetlb);
  std::byte* begin = MapAligned(rounded);
  if (begin == nullptr) return ErrnoStatus(errno, absl::StrCat("cannot map ", rounded >> 20, " MiB for frames"));
  madvise(begin, rounded, MADV_HUGEPAGE);  // where the system has none, it does without
  if (!populate) return MemoryArea({begin, rounded}, Pages::kPlain);
  if (!Populate(begin, rounded)) {
    const absl::Status failed = ErrnoStatus(errno, absl::StrCat("no memory for ", rounded >> 20, " MiB of frames"));
    munmap(begin, rounded);
    return failed;
  }
  return MemoryArea({begin, rounded}, InHugePages(begin, rounded) ? Pages::kTransparent : Pages::kPlain);
}

MemoryArea::~MemoryArea() {
  if (!memory_.empty()) munmap(memory_.data(), memory_.size());
}

}  // namespace weir::runtime
