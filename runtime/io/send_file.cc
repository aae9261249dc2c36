#include "runtime/io/send_file.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/base/errno_status.h"
#include "runtime/io/uring_call.h"

namespace weir {

using runtime::ErrnoStatus;

namespace {

struct SpliceCall {
  static constexpr const char* kWaitsFor = "file splice";
  int from;
  int64_t offset;  // -1 for a pipe
  int to;
  size_t n;
  void Prepare(io_uring_sqe* sqe) {
    io_uring_prep_splice(sqe, from, offset, to, -1, static_cast<unsigned>(n), SPLICE_F_MOVE);
  }
  int32_t Finish(int32_t result) { return result; }
};

struct WritableCall {
  static constexpr const char* kWaitsFor = "socket writable";
  int fd;
  void Prepare(io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, fd, POLLOUT); }
  int32_t Finish(int32_t result) { return result; }
};

// A splice whose worker thread was signalled, which is what a cancel does, ends with this kernel-internal number as it
// is (ERESTARTSYS; seen on Linux 6.18), other operations with EINTR. Nothing was moved. The next try says kCancelled.
bool Interrupted(int32_t result) {
  constexpr int kErestartsys = 512;
  return result == -EINTR || result == -kErestartsys;
}

absl::Status SetNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return ErrnoStatus(errno, "SendFile: the socket");
  if ((flags & O_NONBLOCK) == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return ErrnoStatus(errno, "SendFile: the socket");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SplicePipe> SplicePipe::Create() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
  SplicePipe pipe;
  pipe.read_end_ = runtime::UniqueFd(fds[0]);
  pipe.write_end_ = runtime::UniqueFd(fds[1]);
  static_cast<void>(fcntl(fds[1], F_SETPIPE_SZ, kWantedBytes));
  const int capacity = fcntl(fds[1], F_GETPIPE_SZ);
  if (capacity <= 0) return ErrnoStatus(errno, "cannot tell the size of a pipe");
  pipe.capacity_ = static_cast<size_t>(capacity);
  return pipe;
}

// One transfer, as steps of SendFile.
class FileSender {
 public:
  FileSender(runtime::Reactor& reactor, SplicePipe& pipe, int socket_fd)
      : reactor_(reactor), pipe_(pipe), socket_fd_(socket_fd) {}

  absl::Status Begin() {
    if (pipe_.held_ > 0) {
      absl::StatusOr<SplicePipe> fresh = SplicePipe::Create();
      if (!fresh.ok()) return fresh.status();
      pipe_ = *std::move(fresh);
    }
    return SetNonBlocking(socket_fd_);
  }

  // File to the empty pipe: how many bytes, 0 at the file's end.
  Task<absl::StatusOr<size_t>> Fill(int file_fd, uint64_t offset, size_t n) {
    const SpliceCall splice{file_fd, static_cast<int64_t>(offset), pipe_.write_end_.get(),
                            std::min(n, pipe_.capacity_)};
    int32_t result;
    do {
      result = co_await runtime::UringOperation<SpliceCall>(reactor_, splice);
    } while (Interrupted(result));
    if (result < 0) co_return ErrnoStatus(-result, "SendFile: the file");
    pipe_.held_ = static_cast<size_t>(result);
    co_return pipe_.held_;
  }

  // All that the pipe has to the socket, at the peer's pace.
  Task<absl::Status> Drain() {
    while (pipe_.held_ > 0) {
      const int32_t result = co_await runtime::UringOperation<SpliceCall>(
          reactor_, {pipe_.read_end_.get(), -1, socket_fd_, pipe_.held_});
      if (result > 0) pipe_.held_ -= static_cast<size_t>(result);
      if (result > 0 || Interrupted(result)) continue;
      if (result == 0) co_return ErrnoStatus(EPIPE, "SendFile: the socket takes nothing");
      if (result != -EAGAIN) co_return ErrnoStatus(-result, "SendFile: the socket");
      // Also ends when the socket has an error, which the next splice then tells.
      const int32_t writable = co_await runtime::UringOperation<WritableCall>(reactor_, {socket_fd_});
      if (writable < 0) co_return ErrnoStatus(-writable, "SendFile: the socket");
    }
    co_return absl::OkStatus();
  }

 private:
  runtime::Reactor& reactor_;
  SplicePipe& pipe_;
  const int socket_fd_;
};

Task<absl::StatusOr<size_t>> SendFile(runtime::Reactor& reactor, SplicePipe& pipe, const File& file, uint64_t offset,
                                      size_t n, int socket_fd) {
  FileSender sender(reactor, pipe, socket_fd);
  absl::Status begun = sender.Begin();
  if (!begun.ok()) co_return begun;
  size_t sent = 0;
  while (sent < n) {
    absl::StatusOr<size_t> filled = co_await sender.Fill(file.fd(), offset + sent, n - sent);
    if (!filled.ok()) co_return filled.status();
    if (*filled == 0) break;
    absl::Status drained = co_await sender.Drain();
    if (!drained.ok()) co_return drained;
    sent += *filled;
  }
  co_return sent;
}

}  // namespace weir
