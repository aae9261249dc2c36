// MemoryArea: zeroed memory from the kernel for frames, in the largest pages that there are: a ring that goes through
// 32 MiB in 4 KiB pages touches more of them than any TLB holds.
#ifndef RUNTIME_BUFFER_MEMORY_AREA_H_
#define RUNTIME_BUFFER_MEMORY_AREA_H_

#include <cstddef>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace weir::runtime {

enum class Pages {
  kHugetlb,      // 2 MiB, set aside by the administrator (vm.nr_hugepages)
  kTransparent,  // 2 MiB, made by the kernel as it could
  kPlain,        // 4 KiB, or fewer of 2 MiB than the area needs
};

// "2 MiB pages (hugetlb)"
const char* PagesName(Pages pages);

class MemoryArea {
 public:
  static constexpr size_t kHugePage = size_t{2} << 20;

  // At least `size` bytes, rounded up to huge pages, that begin at such a page. They are there when this returns: no
  // page fault waits for who uses them. Huge pages that were set aside come first, then what madvise(2) gets. The kernel
  // is asked what it gave. kResourceExhausted or as errno says: there is not so much memory.
  // `populate` false: for what may never be used; pages come as they are touched, large ones if the kernel likes.
  static absl::StatusOr<MemoryArea> Map(size_t size, bool populate = true);

  MemoryArea() = default;
  MemoryArea(MemoryArea&& other) noexcept { *this = std::move(other); }
  MemoryArea& operator=(MemoryArea&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(pages_, other.pages_);
    return *this;
  }
  ~MemoryArea();

  std::span<std::byte> bytes() const { return memory_; }
  Pages pages() const { return pages_; }

 private:
  MemoryArea(std::span<std::byte> memory, Pages pages) : memory_(memory), pages_(pages) {}

  std::span<std::byte> memory_;
  Pages pages_ = Pages::kPlain;
};

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_MEMORY_AREA_H_
