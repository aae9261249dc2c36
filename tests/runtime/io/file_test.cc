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

TEST_F(FileTest, WritesSyncsAndReadsBack) {
  auto body = [&]() -> Task<void> {
    const OpenOptions create{.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0640, .beneath = true};
    absl::StatusOr<File> file = co_await File::Open(loop_.reactor(), directory_.get(), "new", create);
    EXPECT_TRUE(file.ok()) << file.status();
    std::string a = "hello ", b(100'000, 'w'), back(100'006, ' ');
    const std::vector<iovec> from = {{a.data(), a.size()}, {b.data(), b.size()}};
    EXPECT_EQ(*co_await file->Write(from, 10), 100'006u);
    EXPECT_TRUE((co_await file->Fsync()).ok());
    EXPECT_TRUE((co_await file->Fsync(File::Sync::kData)).ok());
    const iovec into{back.data(), back.size()};
    EXPECT_EQ(*co_await file->Read(std::span(&into, 1), 10), 100'006u);
    EXPECT_EQ(back, a + b);
    absl::StatusOr<FileStat> stat = co_await File::Stat(loop_.reactor(), directory_.get(), "new");
    EXPECT_EQ(stat->size, 100'016u);
    EXPECT_EQ(stat->mode & 0777, 0640u);
  };
  umask(0022);
  loop_.Run(body());
}

TEST_F(FileTest, WriteAndSyncErrors) {
  auto body = [&]() -> Task<void> {
    absl::StatusOr<File> file = co_await Open("page", true);
    char text[] = "text";
    const iovec from{text, sizeof text};
    const absl::Status written = (co_await file->Write(std::span(&from, 1), 0)).status();
    EXPECT_NE(written.message().find("EBADF"), absl::string_view::npos) << written;
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    File no_file(loop_.reactor(), fds[0]);
    const absl::Status synced = co_await no_file.Fsync();
    EXPECT_NE(synced.message().find("EINVAL"), absl::string_view::npos) << synced;
    close(fds[1]);
  };
  loop_.Run(body());
}

TEST_F(FileTest, StatOfAPath) {
  auto body = [&]() -> Task<void> {
    runtime::Reactor& reactor = loop_.reactor();
    EXPECT_EQ((co_await File::Stat(reactor, directory_.get(), "page"))->size, text_.size());
    EXPECT_EQ((co_await File::Stat(reactor, directory_.get(), "inside"))->size, text_.size());  // through the link
    EXPECT_TRUE((co_await File::Stat(reactor, AT_FDCWD, root_.c_str()))->is_directory());
    const absl::Status missing = (co_await File::Stat(reactor, directory_.get(), "nothing")).status();
    EXPECT_EQ(missing.message(), "cannot stat 'nothing': No such file or directory (ENOENT)");
  };
  loop_.Run(body());
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

// A write into a full pipe waits, and ends with the stop.
TEST_F(FileTest, CancelledWhileWriting) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  AsyncScope scope(loop_.context());
  absl::StatusOr<size_t> first, second;
  std::string text(1 << 20, 'x');
  auto body = [&]() -> Task<void> {
    File full(loop_.reactor(), fds[1]);
    const iovec from{text.data(), text.size()};
    first = co_await full.Write(std::span(&from, 1), 0);
    second = co_await full.Write(std::span(&from, 1), 0);
  };
  scope.Spawn(body());
  loop_.RunFor(20 * kMillisecond);
  EXPECT_EQ(scope.live(), 1u);
  scope.RequestStop();
  EXPECT_TRUE(loop_.RunUntil([&] { return scope.live() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(second.status())) << second.status();
  close(fds[0]);
}

}  // namespace
}  // namespace weir
