// IpContext: what the network layer of one shard knows: its interface, addresses, neighbours, and the shard's frames,
// timers and counters (the part of Linux's struct net that matters here). Owned by Inet; belongs to one shard.
#ifndef NETSTACK_IP_IP_CONTEXT_H_
#define NETSTACK_IP_IP_CONTEXT_H_

#include <cstdint>
#include <optional>

#include "netstack/drop_reason.h"
#include "netstack/ip/neighbour.h"
#include "netstack/ip/net_device.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

// A socket that something happened to. Protocol input puts it on IpContext::ready and sets event bits; after the burst
// the socket layer takes the list and wakes the coroutines. This is all that protocol code knows of waiting.
struct ReadySock : runtime::ListNode<ReadySock> {
  static constexpr uint8_t kReadable = 1;
  static constexpr uint8_t kWritable = 2;
  static constexpr uint8_t kConnected = 4;  // or failed to
  static constexpr uint8_t kError = 8;

  // What the socket layer registered; nullptr when no program holds the socket.
  void (*on_ready)(ReadySock& sock, uint8_t events) = nullptr;
  void* owner = nullptr;
  uint8_t events = 0;
};

struct IpOptions {
  NetDeviceOptions device;
  IpPrefix address;
  std::optional<IpAddress> gateway;
  runtime::SipKey secret;
};

// A token bucket: `rate` per second with bursts of `burst` (RFC 1812 §4.3.2.8).
struct RateLimit {
  int64_t rate;
  int64_t burst;
  int64_t tokens = burst;
  Nanos last_ns = 0;

  bool Take(Nanos now_ns) {
    const Nanos interval = kSecond / rate;
    const int64_t fresh = (now_ns - last_ns) / interval;
    if (fresh > 0) {
      tokens = tokens + fresh < burst ? tokens + fresh : burst;
      last_ns += fresh * interval;
    }
    if (tokens == 0) return false;
    --tokens;
    return true;
  }
};

struct IpContext {
  IpContext(const IpOptions& options, runtime::FramePool& pool, runtime::TimerWheel& timers)
      : pool(pool), timers(timers), device(options.device), address(options.address), gateway(options.gateway),
        secret(options.secret) {}
  ~IpContext() { neighbours.Clear(*this); }

  void Ready(ReadySock& sock, uint8_t event) {
    sock.events |= event;
    if (!sock.linked()) ready.PushBack(sock);
  }
  // For what the stack sends by itself. kConsumed counts frames that came in, each of them once.
  void CountFailure(DropReason reason) {
    if (reason != DropReason::kConsumed) outcomes.Count(reason);
  }
  // Whether a packet to `ip` is for this host alone.
  bool IsLocal(const IpAddress& ip) const { return ip == address.ip; }

  runtime::FramePool& pool;
  runtime::TimerWheel& timers;
  NetDevice device;
  IpPrefix address;
  std::optional<IpAddress> gateway;
  runtime::SipKey secret;
  NeighbourTable neighbours;
  OutcomeCounters outcomes;
  runtime::List<ReadySock, ReadySock> ready;
  // icmp_msgs_per_sec and icmp_msgs_burst of Linux.
  RateLimit icmp_limit{.rate = 1000, .burst = 50};
  uint16_t next_ip_id = 0;
  uint64_t copied_bytes = 0;  // payload copied by the stack because it could not be passed on in place
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_CONTEXT_H_
