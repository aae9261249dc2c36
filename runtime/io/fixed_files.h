// FixedFiles: the ring's table of registered files (IORING_REGISTER_FILES2, sparse). An operation that names its file by
// a slot of the table spares the kernel the look-up of the descriptor and two atomic counts, which costs most when there are
// many connections and none of them is in the caches. Entries come and go with SQEs in the order of all others, so
// without a system call of their own.
//
// Only on kernels with UringFeatures::fixed_files; elsewhere the table has no entries.
#ifndef RUNTIME_IO_FIXED_FILES_H_
#define RUNTIME_IO_FIXED_FILES_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/io/uring.h"

namespace weir::runtime {

class FixedFiles {
 public:
  static constexpr int kNone = -1;
  // Entries of one ring at most, or RLIMIT_NOFILE, which the kernel wants to be no less: half a megabyte of the kernel's
  // memory. Further files are named by their descriptors.
  static constexpr uint32_t kMaxEntries = 1u << 16;

  FixedFiles(Uring& uring, bool enabled);
  FixedFiles(const FixedFiles&) = delete;
  FixedFiles& operator=(const FixedFiles&) = delete;

  // The slot that operations prepared from now on may name instead of `fd`; kNone when there is none. Should the kernel
  // be unable to enter the file, they end with EBADF.
  int Add(int fd);
  // `slot` is free again. Operations that were submitted go on; none that names it is prepared and not yet submitted. The
  // file itself stays open for as long as its descriptor.
  void Remove(int slot);

  size_t entries() const { return fds_.size(); }
  size_t used() const { return fds_.size() - free_.size(); }

 private:
  void Update(int slot, const int& fd);

  Uring& uring_;
  std::vector<int> fds_;   // read by the kernel when it takes an update's SQE
  std::vector<int> free_;  // the last one given back is taken first
};

// A descriptor that becomes a fixed file once it was used often enough to pay for the two updates of the table.
class FixedFile {
 public:
  explicit FixedFile(int fd) : file_(fd), fd_(fd) {}

  // Names the file in `sqe`, after io_uring_prep_*; may prepare an update of the table before the SQE, so `files` is
  // asked first (Use), then the SQE is taken.
  void Use(FixedFiles& files) {
    if (uses_ >= kUses) return;
    if (++uses_ == kUses) Enter(files);
  }
  void Name(io_uring_sqe* sqe) const {
    sqe->fd = file_;
    sqe->flags |= sqe_flags_;
  }
  // Whether `result` says that the table does not have the file, against expectation: from now on the descriptor names it, and
  // the operation is to be prepared again.
  bool FallBack(FixedFiles& files, int result);
  // Before the descriptor is closed.
  void Leave(FixedFiles& files);

 private:
  // An update costs about as much as ten look-ups.
  static constexpr uint8_t kUses = 16;
  void Enter(FixedFiles& files);

  int file_;  // descriptor or slot
  int fd_;
  uint8_t uses_ = 0;
  uint8_t sqe_flags_ = 0;
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_FIXED_FILES_H_
