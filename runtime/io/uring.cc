#include "runtime/io/uring.h"

#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

// SUBMIT_ALL: an SQE that fails does not hold up those behind it; its error comes as its completion.
constexpr unsigned kSetupFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                                 IORING_SETUP_CQSIZE;

// Multishot operations complete more often than they are submitted.
constexpr unsigned kCompletionsPerSubmission = 4;

// NODROP: completions that do not fit wait in the kernel. EXT_ARG: a wait takes its timeout without an SQE.
constexpr unsigned kNeededFeatures = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;

// 0: enabled, 1: only for kernel.io_uring_group and privileged processes, 2: for nobody. Since Linux 6.6.
int DisabledSysctl() {
  int value = 0;
  if (std::FILE* file = std::fopen("/proc/sys/kernel/io_uring_disabled", "re")) {
    if (std::fscanf(file, "%d", &value) != 1) value = 0;
    std::fclose(file);
  }
  return value;
}

}  // namespace

absl::Status UringSetupError(int error, int disabled) {
  if (error == EPERM && disabled != 0) {
    return absl::FailedPreconditionError(absl::StrCat("io_uring is disabled (kernel.io_uring_disabled=", disabled,
                                                      "): 'sysctl -w kernel.io_uring_disabled=0' enables it"));
  }
  if (error == EPERM || error == ENOSYS) {
    return absl::FailedPreconditionError(
        absl::StrCat("io_uring is not available (", strerrorname_np(error),
                     "): the kernel is built without it, or a container's seccomp profile forbids it"));
  }
  if (error == EINVAL) {
    utsname name{};
    uname(&name);
    return absl::UnimplementedError(
        absl::StrCat("io_uring of this kernel (", name.release, ") is too old: weir needs Linux 6.1 or newer"));
  }
  return ErrnoStatus(error, "cannot set up io_uring");
}

absl::StatusOr<std::unique_ptr<Uring>> Uring::Create(uint32_t entries) {
  std::unique_ptr<Uring> uring(new Uring);
  io_uring_params params{};
  params.flags = kSetupFlags;
  params.cq_entries = entries * kCompletionsPerSubmission;
  const int result = io_uring_queue_init_params(entries, &uring->ring_, &params);
  if (result < 0) return UringSetupError(-result, DisabledSysctl());
  uring->open_ = true;
  if ((params.features & kNeededFeatures) != kNeededFeatures) return UringSetupError(EINVAL, 0);
  // Saves the lookup of the ring's descriptor at each enter; without it everything works all the same.
  static_cast<void>(io_uring_register_ring_fd(&uring->ring_));
  return uring;
}

Uring::~Uring() {
  if (open_) io_uring_queue_exit(&ring_);
}

io_uring_sqe* Uring::GetSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) [[unlikely]] {
    Enter();
    sqe = io_uring_get_sqe(&ring_);
  }
  ++sqes_;
  return sqe;
}

void Uring::ReserveSqes(unsigned n) {
  while (io_uring_sq_space_left(&ring_) < n) Enter();
}

// Passing trouble leaves the SQEs where they are, for the next time: EAGAIN and EBUSY (no memory, or completions to be
// taken first), EINTR (a signal), ETIME (the wait's timeout).
void Uring::CheckEnter(int result) {
  if (result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR || result == -ETIME) return;
  std::fprintf(stderr, "weir: io_uring_enter: %s%s\n", std::strerror(-result),
               result == -EEXIST ? " (called on another thread than the ring's own)" : "");
  CheckFailed(__FILE__, __LINE__, "io_uring_enter works");
}

void Uring::Enter() {
  ++syscalls_;
  if (io_uring_cq_has_overflow(&ring_)) ++overflows_;
  CheckEnter(io_uring_submit_and_get_events(&ring_));
}

void Uring::Wait(Nanos timeout_ns) {
  ++syscalls_;
  __kernel_timespec timeout{.tv_sec = timeout_ns / kSecond, .tv_nsec = timeout_ns % kSecond};
  io_uring_cqe* cqe = nullptr;
  CheckEnter(io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, timeout_ns == kNever ? nullptr : &timeout, nullptr));
}

}  // namespace weir::runtime
