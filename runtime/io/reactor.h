// Reactor: one shard's place where everything completes that the kernel does for it: sockets, files, readiness of the
// XSK descriptor, wake-ups by other threads. It submits what was prepared and hands each completion to the operation
// that it belongs to. Completion functions run inside Poll, on the shard's thread; they mark and wake, and the
// scheduler resumes.
//
// Ownership: an operation in flight is the kernel's. A UringOp, and all memory that its SQE points to, stays until its
// final completion (the one without IORING_CQE_F_MORE). A cancel only asks for that completion to come soon; the
// cancel's own completion says nothing and is ignored.
//
// The shard's loop calls Poll once a turn, and Wait when there is nothing to do:
//
//   input; scheduler.RunReady(); transmit; timers; reactor.Poll(); mailbox.Run();
//   if (nothing is ready) reactor.Wait(scheduler.timers().NextDeadline());
#ifndef RUNTIME_IO_REACTOR_H_
#define RUNTIME_IO_REACTOR_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/check.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/time.h"
#include "runtime/base/unique_fd.h"
#include "runtime/core/scheduler.h"
#include "runtime/io/fixed_files.h"
#include "runtime/io/uring.h"
#include "runtime/io/uring_features.h"

namespace weir::runtime {

// One operation of the kernel: base of, or embedded in, what starts it. One-shot operations complete once, multishot
// ones any number of times before the final completion.
class UringOp {
 public:
  // `result` is the operation's (negative: -errno), `flags` the CQE's. With no IORING_CQE_F_MORE in `flags` this is the
  // last call: the operation is out of flight by then, and may be prepared again or destroyed in the function.
  using OnCqe = void (*)(UringOp& op, int32_t result, uint32_t flags);

  explicit UringOp(OnCqe on_cqe) : on_cqe_(on_cqe) {}
  UringOp(const UringOp&) = delete;
  UringOp& operator=(const UringOp&) = delete;

  bool in_flight() const { return in_flight_; }

 protected:
  ~UringOp() { WEIR_CHECK(!in_flight_); }

 private:
  friend class Reactor;
  OnCqe on_cqe_;
  bool in_flight_ = false;
  bool cancelled_ = false;
};

// A UringOp that is a member of `Owner` and completes in one of its member functions.
template <typename Owner, void (Owner::*kOnCqe)(int32_t result, uint32_t flags)>
class MemberOp : public UringOp {
 public:
  explicit MemberOp(Owner& owner) : UringOp(&Complete), owner_(owner) {}

 private:
  static void Complete(UringOp& op, int32_t result, uint32_t flags) {
    (static_cast<MemberOp&>(op).owner_.*kOnCqe)(result, flags);
  }
  Owner& owner_;
};

// A UringOp after whose result the kernel goes on reading its memory, until a notification (IORING_CQE_F_NOTIF, the
// final completion): a send by reference (IORING_OP_SEND_ZC, IORING_OP_SENDMSG_ZC). See Reactor::AwaitNotification.
class NotifiedOp : public UringOp, public ListNode<NotifiedOp> {
 protected:
  using UringOp::UringOp;
};

// Asked before the shard sleeps, and told when it is awake again: the mailbox.
class SleepGuard {
 public:
  // False: there is work, do not sleep (and AfterSleep is not called).
  virtual bool BeforeSleep() = 0;
  virtual void AfterSleep() = 0;

 protected:
  ~SleepGuard() = default;
};

// Told once, when a Poll has dispatched all completions that were there: for what is done once for several of them.
class DispatchEnd : public ListNode<DispatchEnd> {
 public:
  virtual void Dispatched() = 0;

 protected:
  ~DispatchEnd() = default;
};

class Reactor {
 public:
  struct Stats {
    uint64_t syscalls = 0;   // io_uring_enter calls
    uint64_t sqes = 0;       // operations handed to the kernel, cancels included
    uint64_t cqes = 0;       // completions taken
    uint64_t sleeps = 0;     // Waits that went to sleep
    uint64_t overflows = 0;  // enters that found completions waiting because the CQ was full
    uint64_t cq_deepest = 0;  // most completions that one look at the CQ found
    uint64_t notifications_pending = 0;  // operations now that have their result and not yet their notification
  };
  using ReadyFn = void (*)(void* arg);

  struct Options {
    uint32_t entries = Uring::kDefaultEntries;
    // Fewer than the kernel has: for tests of the paths for older ones.
    UringFeatures features = UringFeatures::OfThisKernel();
  };
  // To be called on the shard's own thread. Fails as Uring::Create does.
  static absl::StatusOr<std::unique_ptr<Reactor>> Create(Scheduler& scheduler, const Options& options);
  static absl::StatusOr<std::unique_ptr<Reactor>> Create(Scheduler& scheduler) { return Create(scheduler, Options{}); }
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  // Cancels what is still in flight and waits for its final completions, other than notifications, so every operation's
  // owner must still exist.
  ~Reactor();

  // An SQE for `op`, which is in flight from now on; fill it with one of liburing's io_uring_prep_* (they leave
  // user_data alone). It reaches the kernel with the next Poll or Wait.
  io_uring_sqe* Prepare(UringOp& op) {
    WEIR_CHECK(!op.in_flight_);
    op.in_flight_ = true;
    op.cancelled_ = false;
    ++in_flight_;
    io_uring_sqe* sqe = uring_->GetSqe();
    sqe->user_data = reinterpret_cast<uintptr_t>(&op);
    return sqe;
  }

  // Asks for an early end of `op`; its final completion still comes, with -ECANCELED or what happened first. Does
  // nothing, and returns false, when `op` is not in flight or was cancelled before.
  bool Cancel(UringOp& op);

  // Cancels `op` and waits, blocking the thread, for its final completion; other completions are dispatched meanwhile.
  // For destructors and set-up, not for the loop.
  void CancelAndDrain(UringOp& op);

  // To be called when `op` got its result with IORING_CQE_F_MORE. The notification comes when the peer has
  // acknowledged, so perhaps minutes later and whatever is cancelled or closed. The reactor's destructor does not wait
  // for it: it makes the final call itself, with -ECANCELED. The kernel may then still read the memory, which may be
  // unmapped but not be written to.
  void AwaitNotification(NotifiedOp& op) {
    notified_.PushBack(op);
    ++notifications_pending_;
  }

  // Closes a descriptor through the ring: no system call of its own, and no wait for what close(2) may wait for.
  void CloseFd(int fd);

  // Calls `ready(arg)` from Poll whenever `fd` became readable, until Unwatch(fd): one multishot poll, so it also ends
  // a Wait. The caller keeps the descriptor open until Unwatch, after which the function is not called any more.
  void WatchReadable(int fd, ReadyFn ready, void* arg);
  void Unwatch(int fd);

  // While one lives, this thread Polls or Waits again soon, whatever it does: the loop of a shard. Wake-ups of other
  // threads' rings may then wait in this ring's submission queue.
  class LoopScope {
   public:
    explicit LoopScope(Reactor& reactor);
    ~LoopScope();

   private:
    Reactor* const outer_;
    Reactor& reactor_;
  };
  // The reactor whose loop this thread is in; nullptr when it is in none.
  static Reactor* Looping();

  // What of a sleeping ring others need to wake it: its descriptor and an eventfd on which it has a read in flight.
  struct WakeTarget {
    UniqueFd ring;
    UniqueFd event;
  };
  // Wakes the ring of `target` by a message from this one (IORING_OP_MSG_RING), without a system call of its own. When
  // the kernel cannot deliver it, by the eventfd.
  void WakeOther(std::shared_ptr<WakeTarget> target);

  // Submits what is pending and runs what the kernel deferred, with one system call or, when there is neither, none;
  // then dispatches the completions that are there. Returns how many.
  size_t Poll();

  // To be called while a completion is dispatched: `end` is told when the others of this Poll are too, unless it
  // unlinks itself before.
  void AtDispatchEnd(DispatchEnd& end) {
    if (!end.linked()) dispatch_ends_.PushBack(end);
  }

  // Submits and sleeps until there is a completion, another thread's wake-up, or `deadline_ns` of CLOCK_MONOTONIC
  // (kNever: no deadline). Returns at once when there is a completion already. The caller Polls afterwards.
  void Wait(Nanos deadline_ns);

  // At most one; nullptr takes it away.
  void set_sleep_guard(SleepGuard* guard) { guard_ = guard; }

  // A group of provided buffers that nobody else on this ring uses; numbers are not given twice.
  uint16_t NewBufferGroup() { return next_buffer_group_++; }

  Scheduler& scheduler() { return scheduler_; }
  Uring& uring() { return *uring_; }
  FixedFiles& fixed_files() { return fixed_files_; }
  const UringFeatures& features() const { return features_; }
  // Operations whose final completion is still to come.
  size_t in_flight() const { return in_flight_; }
  Stats stats() const;

 private:
  struct Watch;

  Reactor(Scheduler& scheduler, std::unique_ptr<Uring> uring, const UringFeatures& features);
  size_t Dispatch();
  void ArmWatch(Watch& watch);
  static void OnWatch(UringOp& op, int32_t result, uint32_t flags);

  Scheduler& scheduler_;
  std::unique_ptr<Uring> uring_;
  const UringFeatures features_;
  FixedFiles fixed_files_;
  SleepGuard* guard_ = nullptr;
  size_t in_flight_ = 0;
  List<NotifiedOp, NotifiedOp> notified_;
  List<DispatchEnd, DispatchEnd> dispatch_ends_;
  size_t notifications_pending_ = 0;
  bool closing_ = false;
  uint16_t next_buffer_group_ = 0;
  uint64_t cqes_ = 0;
  size_t cq_deepest_ = 0;
  uint64_t sleeps_ = 0;
  // A handful, made at set-up.
  std::vector<std::unique_ptr<Watch>> watches_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_REACTOR_H_
