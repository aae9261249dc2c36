#include "runtime/io/reactor.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/base/recycler.h"

namespace weir::runtime {
namespace {

// The kernel completes a cancelled operation within one turn; this is far more, and shorter than a person's patience.
constexpr Nanos kDrainLimit = 10 * kSecond;

// With a thousand connections an operation has left the caches when its completion comes. Four completion functions
// last about as long as the memory takes.
constexpr unsigned kPrefetchAhead = 4;

thread_local Reactor* looping = nullptr;

// A message on its way to another ring; frees itself. It has no bytes, and user_data 0, which a Reactor ignores.
struct WakeOp : UringOp {
  explicit WakeOp(std::shared_ptr<Reactor::WakeTarget> target) : UringOp(&OnCqe), target(std::move(target)) {}

  static void OnCqe(UringOp& op, int32_t result, uint32_t) {
    std::unique_ptr<WakeOp> self(static_cast<WakeOp*>(&op));
    if (result >= 0) return;
    const uint64_t one = 1;
    while (write(self->target->event.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }
  static void* operator new(size_t size) { return Recycler::ThisThread().Alloc(size); }
  static void operator delete(void* memory, size_t size) { Recycler::ThisThread().Free(memory, size); }

  std::shared_ptr<Reactor::WakeTarget> target;
};

}  // namespace

struct Reactor::Watch : UringOp {
  Watch(Reactor& reactor, int fd, ReadyFn ready, void* arg)
      : UringOp(&Reactor::OnWatch), reactor(reactor), fd(fd), ready(ready), arg(arg) {}

  Reactor& reactor;
  int fd;
  ReadyFn ready;
  void* arg;
  bool ended = false;  // by Unwatch
};

absl::StatusOr<std::unique_ptr<Reactor>> Reactor::Create(Scheduler& scheduler, const Options& options) {
  absl::StatusOr<std::unique_ptr<Uring>> uring = Uring::Create(options.entries);
  if (!uring.ok()) return uring.status();
  return std::unique_ptr<Reactor>(new Reactor(scheduler, *std::move(uring), options.features));
}

Reactor::Reactor(Scheduler& scheduler, std::unique_ptr<Uring> uring, const UringFeatures& features)
    : scheduler_(scheduler),
      uring_(std::move(uring)),
      features_(features),
      fixed_files_(*uring_, features.fixed_files) {}

Reactor::~Reactor() {
  closing_ = true;
  guard_ = nullptr;
  if (in_flight_ > notifications_pending_) {
    io_uring_sqe* sqe = uring_->GetSqe();
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    sqe->user_data = 0;
  }
  const Nanos limit = MonotonicNow() + kDrainLimit;
  while (in_flight_ > notifications_pending_) {
    WEIR_CHECK(MonotonicNow() < limit);
    Wait(MonotonicNow() + 10 * kMillisecond);
    Poll();
  }
  if (uring_->must_enter()) uring_->Enter();  // descriptors still to be closed
  while (NotifiedOp* op = notified_.PopFront()) {
    op->in_flight_ = false;
    op->on_cqe_(*op, -ECANCELED, IORING_CQE_F_NOTIF);
  }
}

bool Reactor::Cancel(UringOp& op) {
  if (!op.in_flight_ || op.cancelled_) return false;
  op.cancelled_ = true;
  // SQEs are taken in order, so this finds `op` and never an operation prepared later in the same place.
  io_uring_sqe* sqe = uring_->GetSqe();
  io_uring_prep_cancel64(sqe, reinterpret_cast<uintptr_t>(&op), 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = 0;
  return true;
}

void Reactor::CancelAndDrain(UringOp& op) {
  Cancel(op);
  const Nanos limit = MonotonicNow() + kDrainLimit;
  while (op.in_flight_) {
    WEIR_CHECK(MonotonicNow() < limit);
    if (uring_->has_completions() || uring_->must_enter()) {
      Poll();
    } else {
      uring_->Wait(10 * kMillisecond);
    }
  }
}

void Reactor::CloseFd(int fd) {
  io_uring_sqe* sqe = uring_->GetSqe();
  io_uring_prep_close(sqe, fd);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = 0;
}

Reactor::LoopScope::LoopScope(Reactor& reactor) : outer_(std::exchange(looping, &reactor)), reactor_(reactor) {}

Reactor::LoopScope::~LoopScope() {
  looping = outer_;
  if (reactor_.uring_->must_enter()) reactor_.uring_->Enter();  // nobody may be left asleep
}

Reactor* Reactor::Looping() { return looping; }

void Reactor::WakeOther(std::shared_ptr<WakeTarget> target) {
  auto* op = new WakeOp(std::move(target));
  io_uring_prep_msg_ring(Prepare(*op), op->target->ring.get(), 0, 0, 0);
}

void Reactor::WatchReadable(int fd, ReadyFn ready, void* arg) {
  watches_.push_back(std::make_unique<Watch>(*this, fd, ready, arg));
  ArmWatch(*watches_.back());
}

void Reactor::ArmWatch(Watch& watch) { io_uring_prep_poll_multishot(Prepare(watch), watch.fd, POLLIN); }

void Reactor::Unwatch(int fd) {
  for (std::unique_ptr<Watch>& watch : watches_) {
    if (watch->fd != fd || watch->ended) continue;
    watch->ended = true;
    Cancel(*watch);
    // At once, so that the poll lets go of the file and the caller's close(2) really ends it.
    uring_->Enter();
    return;
  }
}

void Reactor::OnWatch(UringOp& op, int32_t result, uint32_t flags) {
  auto& watch = static_cast<Watch&>(op);
  Reactor& self = watch.reactor;
  if (result > 0 && !watch.ended && !self.closing_) watch.ready(watch.arg);
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  // The kernel ends a multishot poll by itself when the CQ overflows. An error means that the descriptor is none.
  if (!watch.ended && !self.closing_) {
    WEIR_CHECK(result >= 0 || result == -ECANCELED);
    return self.ArmWatch(watch);
  }
  std::erase_if(self.watches_, [&](const std::unique_ptr<Watch>& entry) { return entry.get() == &watch; });
}

size_t Reactor::Poll() {
  if (uring_->must_enter()) uring_->Enter();
  return Dispatch();
}

// Takes what was there at the beginning; what completion functions bring about waits for the next turn.
size_t Reactor::Dispatch() {
  const size_t count = uring_->completions();
  for (size_t i = 0; i < count; ++i) {
    if (i + kPrefetchAhead < count) uring_->PrefetchOp(kPrefetchAhead);
    // Freed before the call: the function may need room in the CQ for what it submits.
    const io_uring_cqe cqe = uring_->Pop();
    if (cqe.user_data == 0) continue;
    UringOp& op = *reinterpret_cast<UringOp*>(static_cast<uintptr_t>(cqe.user_data));
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
      op.in_flight_ = false;
      --in_flight_;
      if ((cqe.flags & IORING_CQE_F_NOTIF) != 0) {
        static_cast<NotifiedOp&>(op).Unlink();
        --notifications_pending_;
      }
    }
    op.on_cqe_(op, cqe.res, cqe.flags);
  }
  while (DispatchEnd* end = dispatch_ends_.PopFront()) end->Dispatched();
  cqes_ += count;
  cq_deepest_ = std::max(cq_deepest_, count);
  return count;
}

void Reactor::Wait(Nanos deadline_ns) {
  if (uring_->has_completions()) return;
  if (guard_ != nullptr && !guard_->BeforeSleep()) return;
  const Nanos timeout = deadline_ns == kNever ? kNever : std::max<Nanos>(deadline_ns - MonotonicNow(), 0);
  if (timeout > 0) {
    ++sleeps_;
    uring_->Wait(timeout);
  }
  if (guard_ != nullptr) guard_->AfterSleep();
}

Reactor::Stats Reactor::stats() const {
  return {.syscalls = uring_->syscalls(),
          .sqes = uring_->sqes(),
          .cqes = cqes_,
          .sleeps = sleeps_,
          .overflows = uring_->overflows(),
          .cq_deepest = cq_deepest_,
          .notifications_pending = notifications_pending_};
}

}  // namespace weir::runtime
