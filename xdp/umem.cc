#include "xdp/umem.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"

namespace weir::xdp {
namespace {

using runtime::Frame;

// All of a user's processes without CAP_IPC_LOCK share it (xdp_umem_account_pages).
std::string LockLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return absl::StrCat(", RLIMIT_MEMLOCK allows ", limit.rlim_cur >> 10, " KiB");
}

absl::Status CreateError(int error, size_t bytes) {
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(
          "an AF_XDP socket needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; or use --stack=kernel");
    case EAFNOSUPPORT:
      return absl::UnimplementedError("this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use --stack=kernel");
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(
          "cannot lock ", bytes >> 20, " MiB for frames", LockLimit(), ": raise it ('ulimit -l unlimited'), give the "
          "process CAP_IPC_LOCK, or use fewer frames (--frames)"));
    default:
      return runtime::ErrnoStatus(error, absl::StrCat("cannot register ", bytes >> 20, " MiB of frames"));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Umem>> Umem::Create(const Options& options, runtime::FramePool& pool) {
  std::unique_ptr<Umem> umem(new Umem(pool));
  umem->reserve_ = options.reserve;
  umem->fill_size_ = umem->fill_depth_ = options.fill_size;
  umem->receiving_.resize(pool.size());
  umem->sending_.resize(pool.size());
  const xsk_umem_config config = {
      .fill_size = options.fill_size,
      .comp_size = options.completion_size,
      .frame_size = pool.frame_size(),
      // The kernel leaves XDP_PACKET_HEADROOM (256 bytes) in front of what it receives: more than
      // runtime::kTxHeadroom, so a received frame can be sent on with other headers.
      .frame_headroom = 0,
      .flags = 0,
  };
  const int error = -xsk_umem__create(&umem->umem_, pool.memory().data(), pool.memory().size(),
                                      &umem->fill_, &umem->completion_, &config);
  if (error != 0) return CreateError(error, pool.memory().size());
  return umem;
}

Umem::~Umem() {
  if (umem_ == nullptr) return;
  xsk_umem__delete(umem_);
  for (uint32_t i = 0; i < pool_.size(); ++i) {
    Frame* frame = &pool_[i];
    for (; sending_[i] > 0; --sending_[i]) {
      --frame->tx_pending;
      Unref(frame);
    }
    if (receiving_[i]) Unref(frame);
  }
}

// `left`: what the kernel has not taken of what Fill was last filled to.
void Umem::AdjustDepth(uint32_t left) {
  if (left < fill_depth_ / 4) {
    fill_depth_ = std::min(2 * fill_depth_, fill_size_);
    calm_frames_ = 0;
  } else if (left < fill_depth_ / 2) {
    calm_frames_ = 0;
  } else if (calm_frames_ >= kCalmFrames) {
    fill_depth_ = std::max(fill_depth_ / 2, std::min(fill_size_, kLeastFillDepth));
    calm_frames_ = 0;
  }
}

void Umem::Refill() {
  const uint32_t left = fill_size_ - xsk_prod_nb_free(&fill_, fill_size_);
  AdjustDepth(left);
  const uint32_t room = fill_depth_ > left ? fill_depth_ - left : 0;
  if (room == 0) return;
  const uint32_t free = pool_.free_count();
  const uint32_t n = std::min(room, free > reserve_ ? free - reserve_ : 0);
  if (n < room) ++fill_starved_;
  if (n == 0) return;
  uint32_t index = 0;
  WEIR_CHECK(xsk_ring_prod__reserve(&fill_, n, &index) == n);
  for (uint32_t i = 0; i < n; ++i) {
    Frame* frame = pool_.Alloc();
    receiving_[pool_.IndexOf(*frame)] = true;
    *xsk_ring_prod__fill_addr(&fill_, index + i) = pool_.OffsetOf(frame->base);
  }
  xsk_ring_prod__submit(&fill_, n);
  fill_frames_ += n;
}

Frame* Umem::TakeReceived(const xdp_desc& descriptor) {
  Frame* frame = &pool_.FrameAt(descriptor.addr);
  const uint32_t index = pool_.IndexOf(*frame);
  WEIR_DCHECK(receiving_[index] && frame->refs == 1);
  receiving_[index] = false;
  --fill_frames_;
  ++calm_frames_;
  frame->data = pool_.memory().data() + descriptor.addr;
  frame->len = descriptor.len;
  return frame;
}

uint64_t Umem::BeginTransmit(Frame* frame) {
  WEIR_DCHECK(frame->pool == &pool_ && frame->len > 0);
  Ref(frame);
  ++frame->tx_pending;
  ++sending_[pool_.IndexOf(*frame)];
  ++outstanding_tx_;
  return pool_.OffsetOf(frame->data);
}

uint32_t Umem::ReapCompletions() {
  if (outstanding_tx_ == 0) return 0;
  uint32_t index = 0;
  const uint32_t n = xsk_ring_cons__peek(&completion_, outstanding_tx_, &index);
  for (uint32_t i = 0; i < n; ++i) {
    Frame* frame = &pool_.FrameAt(*xsk_ring_cons__comp_addr(&completion_, index + i));
    uint16_t& sending = sending_[pool_.IndexOf(*frame)];
    WEIR_DCHECK(sending > 0 && frame->tx_pending > 0);
    --sending;
    --frame->tx_pending;
    Unref(frame);
  }
  if (n > 0) xsk_ring_cons__release(&completion_, n);
  outstanding_tx_ -= n;
  return n;
}

}  // namespace weir::xdp
