#include "runtime/io/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "runtime/core/task.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using testing::Loop;

// A directory with "page" (100,000 bytes), "sub/inner", "link" (to ../outside) and "inside" (a link to page).
class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    root_ = std::string(std::getenv("TEST_TMPDIR")) + "/file_test.XXXXXX";
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    for (size_t i = 0; i < 100'000; ++i) text_ += static_cast<char>('a' + i % 23);
    Write("page", text_);
    mkdir((root_ + "/sub").c_str(), 0755);
    Write("sub/inner", "inner");
    EXPECT_EQ(symlink("/etc/passwd", (root_ + "/link").c_str()), 0);
    EXPECT_EQ(symlink("page", (root_ + "/inside").c_str()), 0);
    directory_ = runtime::UniqueFd(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void Write(const std::string& name, const std::string& text) {
    const int fd = creat((root_ + "/" + name).c_str(), 0644);
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(fd);
  }
  Task<absl::StatusOr<File>> Open(std::string path, bool beneath) {
    co_return co_await File::Open(loop_.reactor(), directory_.get(), path.c_str(), {.beneath = beneath});
  }
  absl::StatusCode OpenCode(const std::string& path, bool beneath) {
    return loop_.Run(Open(path, beneath)).status().code();
  }

  Loop loop_;
  std::string root_;
  std::string text_;
  runtime::UniqueFd directory_;
};

TEST_F(FileTest, ReadsAndStats) {
  auto body = [&]() -> Task<void> {
    absl::StatusOr<File> file = co_await Open("page", true);
    EXPECT_TRUE(file.ok()) << file.status();
    absl::StatusOr<FileStat> stat = co_await file->Stat();
    EXPECT_TRUE(stat.ok()) << stat.status();
    EXPECT_EQ(stat->size, text_.size());
    EXPECT_TRUE(stat->is_regular());
    EXPECT_FALSE(stat->is_directory());
    EXPECT_GT(stat->mtime_s, 0);
    std::string a(1000, ' '), b(70'000, ' ');
    const std::vector<iovec> into = {{a.data(), a.size()}, {b.data(), b.size()}};
    absl::StatusOr<size_t> n = co_await file->Read(into, 500);
    EXPECT_EQ(*n, 71'000u);
    EXPECT_EQ(a + b, text_.substr(500, 71'000));
    EXPECT_EQ(*co_await file->Read(into, 99'990), 10u);
    EXPECT_EQ(*co_await file->Read(into, 100'000), 0u);
  };
  loop_.Run(body());
}

TEST_F(FileTest, SaysWhyItCannotOpen) {
  const absl::Status missing = loop_.Run(Open("nothing", true)).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "cannot open 'nothing': No such file or directory (ENOENT)");
}

TEST_F(FileTest, BeneathStaysBelowTheDirectory) {
  EXPECT_EQ(OpenCode("sub/inner", true), absl::StatusCode::kOk);
  EXPECT_EQ(OpenCode("inside", true), absl::StatusCode::kOk);
  EXPECT_EQ(OpenCode("sub/../page", true), absl::StatusCode::kOk);
  EXPECT_EQ(OpenCode("link", true), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode("../../etc/passwd", true), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode("/etc/passwd", true), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenCode("/etc/passwd", false), absl::StatusCode::kOk);
  EXPECT_EQ(OpenCode("link", false), absl::StatusCode::kOk);
}

TEST_F(FileTest, ClosesItsDescriptor) {
  int fd = -1;
  {
    absl::StatusOr<File> file = loop_.Run(Open("page", true));
    File moved = *std::move(file);
    fd = moved.fd();
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  }
  loop_.RunFor(kMillisecond);
  EXPECT_LT(fcntl(fd, F_GETFD), 0);
}

TEST_F(FileTest, Cancelled) {
  AsyncScope scope(loop_.context());
  absl::Status status;
  auto body = [&]() -> Task<void> { status = (co_await Open("page", true)).status(); };
  scope.RequestStop();
  scope.Spawn(body());
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

}  // namespace
}  // namespace weir
