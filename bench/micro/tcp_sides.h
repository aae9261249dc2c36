// The stacks under test, seen alike by the TCP benchmarks: a server on port 80 that takes what connections send, or sends
// it back, and closes after the peer's FIN.
#ifndef BENCH_MICRO_TCP_SIDES_H_
#define BENCH_MICRO_TCP_SIDES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bench/micro/tcp_peer.h"
#include "bench/peers/lwip_host.h"
#include "bench/peers/lwip_tcp.h"
#include "netstack/ip/inet.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"

namespace weir::bench {

inline constexpr size_t kBurst = LwipHost::kBurst;
// Where AF_XDP puts a received frame in its chunk (XDP_PACKET_HEADROOM).
inline constexpr uint32_t kRingHeadroom = 256;

struct TcpSideOptions {
  bool echo = false;
  uint32_t max_sockets = 4096;
  // weir's pool; and of the connections the first that are accepted which keep the first thing they get, read in part.
  uint32_t frames = 4096;
  size_t keepers = 0;
};

// weir: ReceiveBurst -> ... -> TcpRcv -> a coroutine for each connection that awaits Recvmsg in a loop -> TcpFlush.
class WeirTcpSide {
 public:
  static constexpr const char* kName = "weir";

  explicit WeirTcpSide(const TcpSideOptions& options);
  ~WeirTcpSide();

  // Where the next frame of the burst is to be written; Add says how long it became.
  std::byte* Next() { return burst_[count_]->data; }
  void Add(size_t size) { burst_[count_++]->len = static_cast<uint32_t>(size); }
  // The burst goes in, the program runs, and what is to be said is on the device's queue. This is measured.
  void Turn();
  // What was sent goes to the peer, and frames for the next burst are there.
  void Drain(TcpPeer& peer);
  uint64_t bytes() const { return bytes_; }
  runtime::FramePool& pool() { return *pool_; }
  // Of keepers, those that keep something.
  size_t keeping() const { return keeping_; }

  netstack::Inet& inet() { return inet_; }

 private:
  static netstack::IpOptions Options();
  void Fill();
  Task<void> Accept();
  Task<void> Serve(TcpStream stream);
  Task<void> Keep(TcpStream stream);

  const bool echo_;
  const size_t keepers_;
  size_t accepted_ = 0;
  size_t keeping_ = 0;
  uint64_t bytes_ = 0;
  runtime::Scheduler scheduler_{kSecond};
  runtime::FramePool::Ptr pool_;
  netstack::Inet inet_;
  netstack::InetStack stack_;
  TcpListener listener_;
  AsyncScope scope_;
  std::array<runtime::Frame*, kBurst> burst_{};
  size_t count_ = 0;
};

// lwIP: netif->input -> ... -> tcp_input -> the raw callback of the connection.
class LwipTcpSide {
 public:
  static constexpr const char* kName = "lwip";

  explicit LwipTcpSide(const TcpSideOptions& options);

  std::byte* Next() { return frames_[count_].data() + kRingHeadroom; }
  void Add(size_t size) { burst_[count_] = {Next(), size}, ++count_; }
  void Turn();
  void Drain(TcpPeer& peer);
  uint64_t bytes() const { return server_.bytes(); }

 private:
  // What TcpPeer wants to see of a frame that was sent.
  struct Sent {
    std::array<std::byte, 80> bytes;
    size_t size;
  };

  std::vector<std::array<std::byte, 2048>> frames_{kBurst};
  std::array<std::span<std::byte>, kBurst> burst_;
  size_t count_ = 0;
  std::vector<Sent> sent_;
  LwipHost host_;
  LwipTcpServer server_;
};

}  // namespace weir::bench

#endif  // BENCH_MICRO_TCP_SIDES_H_
