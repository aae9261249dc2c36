// File: a file read and written through io_uring; the shard goes on while the disk works. Move-only; belongs to one
// shard and must not outlive its reactor. Closed, through the ring, when destroyed; it must not be destroyed while a
// call on it is awaited.
//
//   weir::OpenOptions inside{.beneath = true};
//   absl::StatusOr<weir::File> file = co_await weir::File::Open(reactor, root_fd, "index.html", inside);
//   absl::StatusOr<weir::FileStat> stat = co_await file->Stat();
//   absl::StatusOr<size_t> n = co_await file->Read(buffer.writable(), 0);
//
//   absl::StatusOr<size_t> written = co_await log.Write(std::span(&line, 1), end);
//   absl::Status safe = co_await log.Fsync();
//
// Every call resumes through the scheduler and gives kCancelled when the scope was stopped; memory passed to it is free
// again when it returns.
#ifndef RUNTIME_IO_FILE_H_
#define RUNTIME_IO_FILE_H_

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/base/time.h"
#include "runtime/io/uring_call.h"

namespace weir {

struct OpenOptions {
  int flags = O_RDONLY;  // of open(2); O_CLOEXEC is added
  mode_t mode = 0;       // of a file that is created
  // Stay below the directory: a path that leaves it by "..", a symbolic link or "/" fails with EXDEV, and magic links
  // as in /proc with ELOOP (RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS). For paths that come from a peer.
  bool beneath = false;
};

struct FileStat {
  uint64_t size = 0;      // bytes
  uint32_t mode = 0;      // type and permissions, as st_mode
  int64_t mtime_s = 0;    // last change of the contents, seconds of CLOCK_REALTIME
  bool is_regular() const { return S_ISREG(mode); }
  bool is_directory() const { return S_ISDIR(mode); }
};

class File {
 public:
  File() = default;
  File(runtime::Reactor& reactor, int fd) : reactor_(&reactor), fd_(fd) {}
  File(File&& other) noexcept : reactor_(other.reactor_), fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    if (this != &other) {
      Close();
      reactor_ = other.reactor_;
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~File() { Close(); }

  struct OpenCall {
    static constexpr const char* kWaitsFor = "file open";
    runtime::Reactor* reactor;
    int directory;
    const char* path;
    open_how how;
    void Prepare(io_uring_sqe* sqe) { io_uring_prep_openat2(sqe, directory, path, &how); }
    absl::StatusOr<File> Finish(int32_t result);
  };
  struct ReadCall {
    static constexpr const char* kWaitsFor = "file read";
    int fd;
    std::span<const iovec> into;
    uint64_t offset;
    void Prepare(io_uring_sqe* sqe) {
      io_uring_prep_readv(sqe, fd, into.data(), static_cast<unsigned>(into.size()), offset);
    }
    absl::StatusOr<size_t> Finish(int32_t result);
  };
  struct WriteCall {
    static constexpr const char* kWaitsFor = "file write";
    int fd;
    std::span<const iovec> from;
    uint64_t offset;
    void Prepare(io_uring_sqe* sqe) {
      io_uring_prep_writev(sqe, fd, from.data(), static_cast<unsigned>(from.size()), offset);
    }
    absl::StatusOr<size_t> Finish(int32_t result);
  };
  struct FsyncCall {
    static constexpr const char* kWaitsFor = "file fsync";
    int fd;
    unsigned flags;
    void Prepare(io_uring_sqe* sqe) { io_uring_prep_fsync(sqe, fd, flags); }
    absl::Status Finish(int32_t error);
  };
  struct StatCall {
    static constexpr const char* kWaitsFor = "file stat";
    int fd;  // of the file, or of the directory that `path` is relative to
    const char* path;
    int flags;
    struct statx result;
    void Prepare(io_uring_sqe* sqe) {
      io_uring_prep_statx(sqe, fd, path, flags, STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_MTIME, &result);
    }
    absl::StatusOr<FileStat> Finish(int32_t error);
  };

  // Opens `path` below the directory `directory` (or AT_FDCWD); the text must stay until the call returns.
  // kNotFound, kPermissionDenied, kFailedPrecondition (leaves the directory).
  static runtime::UringOperation<OpenCall> Open(runtime::Reactor& reactor, int directory, const char* path,
                                                const OpenOptions& options = {});

  // Reads at `offset` into `into` (at most IOV_MAX slices): how many bytes, fewer than asked near the end, 0 at it.
  runtime::UringOperation<ReadCall> Read(std::span<const iovec> into, uint64_t offset) const {
    return {*reactor_, {fd_, into, offset}};
  }

  // Writes `from` (at most IOV_MAX slices) at `offset`: how many bytes, which a full disk or a limit can make fewer
  // than asked. With O_APPEND the offset does not count. What is written is in the page cache; see Fsync. After
  // kCancelled a part may have been written.
  runtime::UringOperation<WriteCall> Write(std::span<const iovec> from, uint64_t offset) const {
    return {*reactor_, {fd_, from, offset}};
  }

  // Resumes when what was written before is on the disk: contents and what is needed to find them, or, with kAll,
  // everything about the file. An error means that some of it may be lost, and a second try does not bring it back.
  enum class Sync { kData, kAll };
  runtime::UringOperation<FsyncCall> Fsync(Sync what = Sync::kAll) const {
    return {*reactor_, {fd_, what == Sync::kData ? unsigned{IORING_FSYNC_DATASYNC} : 0u}};
  }

  runtime::UringOperation<StatCall> Stat() const { return {*reactor_, {fd_, "", AT_EMPTY_PATH, {}}}; }

  // Of `path`, below the directory `directory` (or AT_FDCWD), without opening it; the text must stay until the call
  // returns. A symbolic link is followed, wherever it leads: for a path that comes from a peer, Open with `beneath` and
  // then Stat. kNotFound, kPermissionDenied.
  static runtime::UringOperation<StatCall> Stat(runtime::Reactor& reactor, int directory, const char* path) {
    return {reactor, {directory, path, 0, {}}};
  }

  bool valid() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) reactor_->CloseFd(std::exchange(fd_, -1));
  }

 private:
  runtime::Reactor* reactor_ = nullptr;
  int fd_ = -1;
};

}  // namespace weir

#endif  // RUNTIME_IO_FILE_H_
