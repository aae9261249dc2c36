// Uring: owner of one io_uring, and all there is between weir and liburing: set-up with the flags of a ring that one
// thread owns, SQE acquisition that never fails, and the two ways into the kernel (Enter, which does not wait, and
// Wait). It knows nothing of operations and callbacks: see reactor.h.
//
// The ring belongs to the thread that calls Create (IORING_SETUP_SINGLE_ISSUER); completions are worked out only when
// that thread enters the kernel for them (IORING_SETUP_DEFER_TASKRUN), so nothing interrupts it.
//
// Read first: io_uring_setup(2), io_uring_enter(2).
#ifndef RUNTIME_IO_URING_H_
#define RUNTIME_IO_URING_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/time.h"

// UAPI of Linux 6.2 that the liburing of the day may not have; kernels without it answer EINVAL.
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1U << 3)
#define IORING_NOTIF_USAGE_ZC_COPIED (1U << 31)
#endif

namespace weir::runtime {

// The one line that tells a user why io_uring_setup(2) failed and what to do. `error` is a positive errno value;
// `disabled` is the value of the sysctl kernel.io_uring_disabled, 0 where it does not exist.
absl::Status UringSetupError(int error, int disabled);

class Uring {
 public:
  // Operations that one turn of a shard can start before the submission queue must be handed over early: one send, one
  // receive and their cancels for each of 256 coroutines (the scheduler's budget for a turn).
  static constexpr uint32_t kDefaultEntries = 1024;

  // To be called on the thread that will use the ring. kFailedPrecondition or kUnimplemented, with one line that says
  // what to do, when io_uring is disabled or the kernel is older than 6.1.
  static absl::StatusOr<std::unique_ptr<Uring>> Create(uint32_t entries = kDefaultEntries);

  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;
  ~Uring();

  // A free SQE, to be filled with one of liburing's io_uring_prep_*. When the queue is full, its SQEs are submitted.
  io_uring_sqe* GetSqe();
  // Makes room for `n` SQEs that must be submitted together, because they are linked.
  void ReserveSqes(unsigned n);

  // Whether Enter has something to do: SQEs to submit, work the kernel deferred to this thread, or completions that
  // did not fit into the CQ. Looks at memory only.
  bool must_enter() const {
    return io_uring_sq_ready(&ring_) > 0 ||
           (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }
  bool has_completions() const { return io_uring_cq_ready(&ring_) > 0; }
  unsigned completions() const { return io_uring_cq_ready(&ring_); }

  // Takes the oldest completion out of the CQ. Only when has_completions().
  io_uring_cqe Pop() {
    const io_uring_cqe cqe = ring_.cq.cqes[*ring_.cq.khead & ring_.cq.ring_mask];
    io_uring_cq_advance(&ring_, 1);
    return cqe;
  }

  // Begins to load what the completion `ahead` of the oldest belongs to; there are more than `ahead` completions.
  void PrefetchOp(unsigned ahead) const {
    const uint64_t op = ring_.cq.cqes[(*ring_.cq.khead + ahead) & ring_.cq.ring_mask].user_data;
    __builtin_prefetch(reinterpret_cast<const void*>(static_cast<uintptr_t>(op)));
  }

  // One io_uring_enter(2): submits, runs deferred work, brings back overflowed completions; does not wait.
  void Enter();
  // The same, then sleeps until there is a completion, `timeout_ns` passed (kNever: no limit) or a signal came.
  void Wait(Nanos timeout_ns);

  // For registrations, which are the caller's affair.
  io_uring* raw() { return &ring_; }

  uint64_t syscalls() const { return syscalls_; }
  uint64_t sqes() const { return sqes_; }
  // How often the CQ was full and completions had to wait in the kernel.
  uint64_t overflows() const { return overflows_; }

 private:
  Uring() = default;
  void CheckEnter(int result);

  io_uring ring_{};
  bool open_ = false;
  uint64_t syscalls_ = 0;
  uint64_t sqes_ = 0;
  uint64_t overflows_ = 0;
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_URING_H_
