// InetTestHost: an Inet in memory with its frames and timers, driven by hand in virtual time. No privileges, no clock.
//
//   InetTestHost host;
//   host.Learn();                              // an ARP exchange, so that answers need not wait for one
//   host.Receive(frame);                       // one turn: input, wake-ups, timers, output
//   EXPECT_EQ("icmp echo-reply ...", host.Sent());
//   EXPECT_EQ(DropReason::kConsumed, host.last());
//
// The destructor gives back what is left and fails the test when a frame or a timer stays behind.
#ifndef TESTS_SUPPORT_INET_TEST_HOST_H_
#define TESTS_SUPPORT_INET_TEST_HOST_H_

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "netstack/ip/inet.h"
#include "tests/support/packets.h"

namespace weir::testing_support {

// A frame that left the host, and when.
struct Departure {
  Nanos at_ns = 0;
  Bytes frame;
};

// What came on a link, in frames of `pool`, as an AF_XDP ring gives it: in one, or linked in several where it does not fit.
// nullptr: there are too few.
runtime::Frame* ToFrames(runtime::FramePool& pool, View bytes);
// Takes the oldest packet that leaves by `device`.
Bytes TakePacket(netstack::NetDevice& device);

class InetTestHost {
 public:
  struct Options {
    uint32_t ip = kHostIp;
    int prefix_length = 24;
    std::optional<IpPrefix> ip6;
    std::optional<uint32_t> gateway;
    Mac mac = kHostMac;
    uint32_t mtu = 1500;
    netstack::VlanTags vlan;
    bool partial_checksums = false;
    uint32_t frames = 1024;
    netstack::TcpSettings tcp = {.max_sockets = 1024};
    Nanos start_ns = kSecond;
    // Sent frames stay unfinished until CompleteTx, as on a slow device.
    bool hold_tx = false;
    // Reports of IGMP and MLD are to be seen among what is sent; else they are left out.
    bool group_reports = false;
  };

  explicit InetTestHost(const Options& options);
  InetTestHost() : InetTestHost(Options{}) {}
  ~InetTestHost();

  Nanos now() const { return now_ns_; }
  // Goes to `to_ns`, with a turn at every timer's deadline in between.
  void AdvanceTo(Nanos to_ns);
  void Advance(Nanos by_ns) { AdvanceTo(now_ns_ + by_ns); }
  // Goes to the next deadline, but not beyond `limit_ns`.
  void AdvanceToNextTimer(Nanos limit_ns);
  // Wake-ups, timers, output: what a shard does after input.
  void Turn();

  // A burst of frames at once, then a turn. What is larger than a frame of the pool comes in several, as an AF_XDP ring
  // gives it; one for which none are left is lost.
  void Receive(std::span<const Bytes> burst);
  void Receive(const Bytes& frame) { Receive({&frame, 1}); }
  // How the last frame ended: the reason that was counted for it.
  netstack::DropReason last() const { return last_; }

  // Makes the peer's address known by an ARP request from it; nothing of that is left to be seen.
  void Learn(uint32_t ip = kPeerIp, const Mac& mac = kPeerMac);

  // The oldest frame that was sent and not looked at.
  bool has_sent() const { return !sent_.empty(); }
  const Bytes& next_sent() const { return sent_.front().frame; }
  Departure TakeSent();
  // Descriptions of all that was sent and not looked at, joined by "; ".
  std::string Sent();
  void CompleteTx();

  netstack::Inet& inet() { return *inet_; }
  netstack::Interface& interface() { return *inet_->ip.interfaces.front(); }
  runtime::FramePool& pool() { return *pool_; }
  runtime::TimerWheel& timers() { return timers_; }
  uint64_t counted(netstack::DropReason reason) const { return inet_->ip.outcomes[reason]; }
  uint64_t counted_total() const;
  // Timers that run, those of the neighbours that Learn was told of left out.
  size_t armed_timers();
  uint64_t lost_for_frames() const { return lost_for_frames_; }

 private:
  void CollectSent();

  Options options_;
  runtime::FramePool::Ptr pool_;
  runtime::TimerWheel timers_;
  std::optional<netstack::Inet> inet_;
  Nanos now_ns_;
  netstack::DropReason last_ = netstack::DropReason::kConsumed;
  uint64_t lost_for_frames_ = 0;
  std::vector<uint32_t> learnt_;
  std::deque<Departure> sent_;
  std::vector<runtime::Frame*> on_device_;
};

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_INET_TEST_HOST_H_
