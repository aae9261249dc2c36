// PacketTap: the frames of an interface that concern the kernel as much as us: all ARP that is not for our addresses
// (announcements, probes, their answers), IPv4 broadcasts, and what goes to all hosts and all nodes of the link (IGMP
// and MLD queries, router advertisements). The steering program leaves these to the kernel; an AF_PACKET socket with a
// filter for exactly them gives us copies (packet(7)). What the program redirects never gets there, so nothing comes
// twice.
//
// The socket also programs the NIC's multicast filter for the groups that we join: the memberships go with it.
//
// A copy costs a system call and is meant for the few frames a second that these are. Nothing is done between them: a
// reactor watches fd() and calls SetReadable, and until then Readable is a look at a flag.
#ifndef NETSTACK_LINK_PACKET_TAP_H_
#define NETSTACK_LINK_PACKET_TAP_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/ip/inet.h"
#include "netstack/link/pcap_writer.h"
#include "netstack/wire/ethernet.h"
#include "runtime/base/unique_fd.h"

namespace weir::netstack {

class PacketTap {
 public:
  // Frames of one turn: a flood of broadcasts gets a part of each turn and the rest of it waits, and is lost, in the
  // socket's buffer (net.core.rmem_default).
  static constexpr size_t kBurst = 16;

  struct Counters {
    uint64_t frames = 0;   // given to the stack
    uint64_t dropped = 0;  // for want of frames, or because the socket's buffer was full
  };

  // On the interface of that index, for the frames with its VLAN tags. Needs CAP_NET_RAW, now and not later.
  static absl::StatusOr<std::unique_ptr<PacketTap>> Open(const NetDeviceOptions& device);
  PacketTap(const PacketTap&) = delete;

  // Takes frames to the link-layer group in, or not any more; counted by the kernel, so each Join wants its Leave.
  absl::Status Join(const MacAddress& group) { return SetMembership(group, /*join=*/true); }
  absl::Status Leave(const MacAddress& group) { return SetMembership(group, /*join=*/false); }

  int fd() const { return fd_.get(); }
  // The descriptor has become readable: there are frames until a Receive has found none.
  void SetReadable() { readable_ = true; }
  bool Readable() const { return readable_; }
  // A burst through the stack, as frames from the ring go; returns how many. `capture` may be nullptr.
  size_t Receive(Inet& inet, Interface& in, PcapWriter* capture, Nanos now_ns);

  // One system call.
  Counters counters();

 private:
  PacketTap() = default;
  absl::Status SetMembership(const MacAddress& group, bool join);
  // The next frame, in one of the pool's; nullptr when there is none, now or (true in *lost) for this frame.
  runtime::Frame* ReceiveOne(runtime::FramePool& pool, bool* lost);

  runtime::UniqueFd fd_;
  uint32_t index_ = 0;
  VlanTags vlan_;
  bool readable_ = false;
  Counters counters_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_PACKET_TAP_H_
