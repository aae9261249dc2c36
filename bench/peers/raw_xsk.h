// RawXsk: an AF_XDP socket on queue 0 of an interface with nothing between its rings and the program: frames are
// descriptors, and each is in one place, a ring or the caller's hands. What the programs here use that show what the
// device and the kernel allow; weir's own XdpLink, with its pool and its references, is not in it, only the steering
// program is the same.
//
//   n = xsk->Receive(burst);  ... change the bytes at xsk->At(burst[i]) ...  xsk->Send({burst, n});  xsk->Flush();
#ifndef BENCH_PEERS_RAW_XSK_H_
#define BENCH_PEERS_RAW_XSK_H_

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "xdp/steer_program.h"

namespace weir::bench {

class RawXsk {
 public:
  static constexpr uint32_t kBurst = 64;
  // Half of them wait to receive, as many as the Rx ring holds; the other half is under way or to send from.
  static constexpr uint32_t kFrames = 4096;
  static constexpr uint32_t kRxSize = kFrames / 2;  // of the Fill ring too

  // Bytes of a frame, as XdpLink's are: what an MTU of 1500 needs, or twice as much.
  static constexpr uint32_t FrameSize(uint32_t mtu) { return mtu <= 1500 ? 2048 : 4096; }
  // The largest packet that a frame of the second size holds, behind the kernel's headroom and the link's header.
  static constexpr uint32_t kMaxMtu = 4096 - 256 - 14;

  // `busy_poll`: Wait runs the device's NAPI instead of sleeping. `program` outlives the socket.
  static absl::StatusOr<std::unique_ptr<RawXsk>> Create(xdp::SteerProgram& program, bool busy_poll);
  RawXsk(const RawXsk&) = delete;
  ~RawXsk();

  std::byte* At(const xdp_desc& frame) { return memory_.get() + frame.addr; }

  // What has arrived, at most kBurst frames; returns how many.
  uint32_t Receive(xdp_desc* out);
  // An unused frame, empty, unless all are under way.
  std::optional<xdp_desc> Take();
  // Puts frames on the Tx ring; they are free again when they are sent.
  void Send(std::span<const xdp_desc> frames);
  void Drop(const xdp_desc& frame) { free_.push_back(frame.addr); }
  // One system call for all that was put on the Tx ring, and free frames onto the Fill ring. Every turn.
  void Flush();
  // Until frames arrive, or `timeout_ms` have passed; polls once and returns at once with busy polling.
  void Wait(int timeout_ms);

 private:
  struct FreeMemory {
    size_t bytes;
    void operator()(std::byte* memory) const;
  };

  RawXsk(uint32_t frame_size, bool busy_poll) : frame_size_(frame_size), busy_poll_(busy_poll) {}
  int Bind(const char* interface);
  void Close();
  void ConfigureSocket();
  void Refill();
  uint32_t unsent() const { return *tx_.producer - __atomic_load_n(tx_.consumer, __ATOMIC_ACQUIRE); }

  const uint32_t frame_size_;
  const bool busy_poll_;
  std::unique_ptr<std::byte, FreeMemory> memory_;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  int fd_ = -1;
  std::vector<uint64_t> free_;  // addresses; never more than kFrames
  xsk_ring_prod fill_ = {}, tx_ = {};
  xsk_ring_cons completion_ = {}, rx_ = {};
};

}  // namespace weir::bench

#endif  // BENCH_PEERS_RAW_XSK_H_
