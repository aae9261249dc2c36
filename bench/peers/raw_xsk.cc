#include "bench/peers/raw_xsk.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/errno_status.h"
#include "xdp/uapi.h"

namespace weir::bench {
namespace {

// As XdpLink: the queue of a socket that was just closed is free within a second.
constexpr int kBindAttempts = 100;
constexpr useconds_t kBindRetryUs = 10000;

}  // namespace

void RawXsk::FreeMemory::operator()(std::byte* memory) const { munmap(memory, bytes); }

absl::StatusOr<std::unique_ptr<RawXsk>> RawXsk::Create(xdp::SteerProgram& program, bool busy_poll) {
  std::unique_ptr<RawXsk> xsk(new RawXsk(FrameSize(program.interface().mtu), busy_poll));
  const size_t bytes = size_t{kFrames} * xsk->frame_size_;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return runtime::ErrnoStatus(errno, "no memory for frames");
  xsk->memory_ = {static_cast<std::byte*>(memory), {bytes}};
  int error = EBUSY;
  for (int i = 0; i < kBindAttempts && error == EBUSY; ++i) {
    if (i > 0) usleep(kBindRetryUs);
    error = xsk->Bind(program.interface().name.c_str());
    if (error != 0) xsk->Close();
  }
  if (error != 0) {
    return runtime::ErrnoStatus(error, absl::StrCat("cannot bind an AF_XDP socket to ", program.interface().name));
  }
  xsk->ConfigureSocket();
  if (absl::Status status = program.RegisterSocket(0, xsk->fd_); !status.ok()) return status;
  return xsk;
}

// 0 or an errno value. The kernel takes zero-copy where the driver has it.
int RawXsk::Bind(const char* interface) {
  const xsk_umem_config umem_config = {
      .fill_size = kRxSize, .comp_size = kFrames, .frame_size = frame_size_, .frame_headroom = 0, .flags = 0};
  int error = -xsk_umem__create(&umem_, memory_.get(), memory_.get_deleter().bytes, &fill_, &completion_, &umem_config);
  if (error != 0) return error;
  free_.clear();
  free_.reserve(kFrames);
  for (uint32_t i = 0; i < kFrames; ++i) free_.push_back(uint64_t{i} * frame_size_);
  Refill();
  const xsk_socket_config config = {.rx_size = kRxSize,
                                    .tx_size = kFrames,
                                    .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                    .xdp_flags = 0,
                                    .bind_flags = XDP_USE_NEED_WAKEUP};
  error = -xsk_socket__create(&socket_, interface, 0, umem_, &rx_, &tx_, &config);
  if (error == 0) fd_ = xsk_socket__fd(socket_);
  return error;
}

void RawXsk::Close() {
  if (socket_ != nullptr) xsk_socket__delete(socket_);
  if (umem_ != nullptr) xsk_umem__delete(umem_);
  socket_ = nullptr;
  umem_ = nullptr;
}

RawXsk::~RawXsk() { Close(); }

// What XdpLink sets too, and for the same reasons; kernels without an option run without it.
void RawXsk::ConfigureSocket() {
  const int budget = static_cast<int>(kBurst), busy_poll_us = 20, on = 1, send_buffer = 8192 * kFrames;
  const uint32_t tx_budget = kRxSize;
  setsockopt(fd_, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &tx_budget, sizeof tx_budget);
  setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer);
  if (!busy_poll_) return;
  setsockopt(fd_, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof on);
  setsockopt(fd_, SOL_SOCKET, SO_BUSY_POLL, &busy_poll_us, sizeof busy_poll_us);
  setsockopt(fd_, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof budget);
}

uint32_t RawXsk::Receive(xdp_desc* out) {
  uint32_t at = 0;
  const uint32_t n = xsk_ring_cons__peek(&rx_, kBurst, &at);
  for (uint32_t i = 0; i < n; ++i) out[i] = *xsk_ring_cons__rx_desc(&rx_, at + i);
  if (n > 0) xsk_ring_cons__release(&rx_, n);
  return n;
}

void RawXsk::Send(std::span<const xdp_desc> frames) {
  const auto n = static_cast<uint32_t>(frames.size());
  uint32_t at = 0;
  WEIR_CHECK(xsk_ring_prod__reserve(&tx_, n, &at) == n);  // it has room for every frame there is
  for (uint32_t i = 0; i < n; ++i) *xsk_ring_prod__tx_desc(&tx_, at + i) = frames[i];
  xsk_ring_prod__submit(&tx_, n);
}

std::optional<xdp_desc> RawXsk::Take() {
  if (free_.empty()) return std::nullopt;
  const uint64_t address = free_.back() & ~uint64_t{frame_size_ - 1};
  free_.pop_back();
  return xdp_desc{.addr = address, .len = 0, .options = 0};
}

void RawXsk::Refill() {
  const uint32_t n = std::min<uint32_t>(xsk_prod_nb_free(&fill_, kRxSize), free_.size());
  uint32_t at = 0;
  if (n == 0 || xsk_ring_prod__reserve(&fill_, n, &at) != n) return;
  for (uint32_t i = 0; i < n; ++i, free_.pop_back()) *xsk_ring_prod__fill_addr(&fill_, at + i) = free_.back();
  xsk_ring_prod__submit(&fill_, n);
}

void RawXsk::Flush() {
  if (unsent() > 0 && xsk_ring_prod__needs_wakeup(&tx_) != 0) sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0);
  uint32_t at = 0;
  const uint32_t n = xsk_ring_cons__peek(&completion_, kFrames, &at);
  for (uint32_t i = 0; i < n; ++i) free_.push_back(*xsk_ring_cons__comp_addr(&completion_, at + i));
  if (n > 0) xsk_ring_cons__release(&completion_, n);
  Refill();
  if (xsk_ring_prod__needs_wakeup(&fill_) != 0) recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

void RawXsk::Wait(int timeout_ms) {
  if (busy_poll_) {
    recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    return;
  }
  if (unsent() > 0) return;  // the device was full: try again first
  pollfd waiting = {.fd = fd_, .events = POLLIN, .revents = 0};
  poll(&waiting, 1, timeout_ms);
}

}  // namespace weir::bench
