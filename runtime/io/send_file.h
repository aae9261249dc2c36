// SendFile: bytes of a file to a socket of the kernel without passing through user memory: io_uring splices pages of
// the page cache into a pipe and from there into the socket.
//
//   absl::StatusOr<weir::SplicePipe> pipe = weir::SplicePipe::Create();         // once, for one transfer at a time
//   absl::StatusOr<size_t> sent = co_await weir::SendFile(reactor, *pipe, file, 0, stat->size, socket_fd);
//
// Read first: splice(2). A splice always runs on one of io_uring's worker threads, about 10 us away, so for files of a
// few kilobytes a Read and a send are faster.
#ifndef RUNTIME_IO_SEND_FILE_H_
#define RUNTIME_IO_SEND_FILE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/core/task.h"
#include "runtime/io/file.h"
#include "runtime/io/reactor.h"

namespace weir {

// The pipe that a transfer goes through: two descriptors, and while a transfer is under way up to capacity() bytes of
// page cache. Kept by the caller from one transfer to the next. Move-only; not while SendFile uses it.
class SplicePipe {
 public:
  // Four of the pipe's default: fewer trips to the worker threads. The kernel may refuse the size to a user who has
  // many pipes (fs.pipe-user-pages-soft); the default then stays.
  static constexpr int kWantedBytes = 256 * 1024;

  static absl::StatusOr<SplicePipe> Create();

  size_t capacity() const { return capacity_; }
  // Bytes that a transfer left behind when it failed or was cancelled half way; the next one starts with a new pipe.
  size_t left_behind() const { return held_; }

 private:
  friend class FileSender;
  SplicePipe() = default;

  runtime::UniqueFd read_end_;
  runtime::UniqueFd write_end_;
  size_t capacity_ = 0;
  size_t held_ = 0;
};

// Sends `n` bytes of `file` from `offset` on, in order, to the connected stream socket `socket_fd`. Gives how many:
// fewer only when the file ends before. Resumes through the scheduler. Everything passed by reference, and the
// descriptor, stay until the call returns; nobody else may send on the socket meanwhile, and receiving is free.
//
// The socket is made non-blocking (O_NONBLOCK), and stays so: otherwise a slow peer would hold a worker thread. Sends
// and receives through io_uring do not look at that flag.
//
// Errors: kCancelled when the scope was stopped; what the socket says (kAborted, with EPIPE or ECONNRESET in the
// message) or the file. With an error a part may have been sent.
Task<absl::StatusOr<size_t>> SendFile(runtime::Reactor& reactor, SplicePipe& pipe, const File& file, uint64_t offset,
                                      size_t n, int socket_fd);

}  // namespace weir

#endif  // RUNTIME_IO_SEND_FILE_H_
