// Memory for frames: where it lies, which pages it has, and that what is said of them is so.
#include "runtime/buffer/memory_area.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "runtime/buffer/frame_pool.h"

namespace weir::runtime {
namespace {

constexpr size_t kHugePage = MemoryArea::kHugePage;

std::string ReadLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

long FreeHugePages() {
  const std::string text = ReadLine("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  return text.empty() ? 0 : std::stol(text);
}

long PageFaults() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

TEST(MemoryArea, IsAlignedZeroedAndThere) {
  for (const size_t size : {size_t{1}, kHugePage, kHugePage + 1, 5 * kHugePage}) {
    absl::StatusOr<MemoryArea> area = MemoryArea::Map(size);
    ASSERT_TRUE(area.ok()) << area.status();
    const std::span<std::byte> bytes = area->bytes();
    EXPECT_GE(bytes.size(), size);
    EXPECT_LT(bytes.size(), size + kHugePage);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes.data()) % kHugePage, 0u);
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::ranges::fill(bytes, std::byte{0xa5});
  }
}

TEST(MemoryArea, NothingFaultsLater) {
#if defined(WEIR_RECYCLER_OFF) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "SKIPPED: shadow memory has faults of its own";
#endif
  absl::StatusOr<MemoryArea> area = MemoryArea::Map(4 * kHugePage);
  ASSERT_TRUE(area.ok()) << area.status();
  const std::span<std::byte> bytes = area->bytes();
  const long before = PageFaults();
  for (size_t i = 0; i < bytes.size(); i += 4096) bytes[i] = std::byte{1};
  EXPECT_LT(PageFaults() - before, 64);  // it has 2048 pages
}

TEST(MemoryArea, MovesAndIsUnmappedOnce) {
  absl::StatusOr<MemoryArea> first = MemoryArea::Map(kHugePage);
  absl::StatusOr<MemoryArea> second = MemoryArea::Map(kHugePage);
  ASSERT_TRUE(first.ok() && second.ok());
  std::byte* const kept = second->bytes().data();
  *first = *std::move(second);
  EXPECT_EQ(first->bytes().data(), kept);
  kept[0] = std::byte{1};
  EXPECT_TRUE(MemoryArea().bytes().empty());
}

TEST(MemoryArea, TakesWhatTheAdministratorSetAside) {
  const long free = FreeHugePages();
  if (free < 2) GTEST_SKIP() << "SKIPPED: the system has no free huge pages (vm.nr_hugepages)";
  absl::StatusOr<MemoryArea> area = MemoryArea::Map(2 * kHugePage);
  ASSERT_TRUE(area.ok()) << area.status();
  EXPECT_EQ(area->pages(), Pages::kHugetlb);
}

TEST(MemoryArea, ElseTransparentOnes) {
  const std::string setting = ReadLine("/sys/kernel/mm/transparent_hugepage/enabled");
  if (setting.empty() || setting.find("[never]") != std::string::npos) {
    GTEST_SKIP() << "SKIPPED: the system has no transparent huge pages";
  }
  // More than were set aside.
  const size_t size = (static_cast<size_t>(FreeHugePages()) + 2) * kHugePage;
  absl::StatusOr<MemoryArea> area = MemoryArea::Map(size);
  ASSERT_TRUE(area.ok()) << area.status();
  if (area->pages() == Pages::kPlain) GTEST_SKIP() << "SKIPPED: memory is too fragmented";
  EXPECT_EQ(area->pages(), Pages::kTransparent);
}

// In a child, whose address space is bounded: no memory is one line, not a signal.
TEST(MemoryArea, TooMuchIsRefused) {
#if defined(WEIR_RECYCLER_OFF)
  GTEST_SKIP() << "SKIPPED: shadow memory is beyond any bound";
#endif
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{size_t{256} << 20, size_t{256} << 20};
    setrlimit(RLIMIT_AS, &limit);
    absl::StatusOr<MemoryArea> area = MemoryArea::Map(size_t{512} << 20);
    if (area.ok()) _exit(1);
    _exit(area.status().message().find("cannot map 512 MiB for frames") == 0 ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(MemoryArea, APoolSaysWhatItHas) {
  FramePool::Ptr pool = *FramePool::Create({.frame_size = 4096, .frames = 1024});
  EXPECT_EQ(pool->Describe(), std::string("1024 frames of 4096 bytes, 4 MiB in ") + PagesName(pool->pages()));
}

}  // namespace
}  // namespace weir::runtime
