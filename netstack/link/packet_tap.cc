#include "netstack/link/packet_tap.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "netstack/link/ethernet_rcv.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

constexpr MacAddress kAllHostsMac{{0x01, 0x00, 0x5e, 0, 0, 1}};  // 224.0.0.1: RFC 1112 §6.4
constexpr MacAddress kAllNodesMac{{0x33, 0x33, 0, 0, 0, 1}};     // ff02::1: RFC 2464 §7
constexpr uint16_t kVidMask = 0x0fff;

using Filter = std::vector<sock_filter>;

void Load(Filter& filter, uint16_t size, uint32_t at) { filter.push_back(BPF_STMT(BPF_LD | size | BPF_ABS, at)); }
// Goes on when the accumulator is `value`; else over the next `skip` instructions.
void Equal(Filter& filter, uint32_t value, uint8_t skip) {
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}
void Answer(Filter& filter, uint32_t bytes) { filter.push_back(BPF_STMT(BPF_RET | BPF_K, bytes)); }

// Refuses a frame unless the 16 bits at `at`, without priority bits, are the VLAN ID.
void WantVid(Filter& filter, uint32_t at, uint16_t vid) {
  Load(filter, BPF_H, at);
  filter.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kVidMask));
  filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, vid, 1, 0));
  Answer(filter, 0);
}

// Takes frames of the EtherType to `destination`.
void Take(Filter& filter, uint32_t type_at, uint16_t type, const MacAddress& destination) {
  std::byte mac[6];
  destination.Store(mac);
  Load(filter, BPF_H, type_at);
  Equal(filter, type, 5);
  Load(filter, BPF_W, 0);
  Equal(filter, runtime::LoadBe32(mac), 3);
  Load(filter, BPF_H, 4);
  Equal(filter, runtime::LoadBe16(mac + 4), 1);
  Answer(filter, UINT32_MAX);
}

// The kernel takes the outer tag off before a packet socket sees the frame; its VID, 0 without one, can be asked for.
Filter FilterFor(const VlanTags& vlan) {
  Filter filter;
  WantVid(filter, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG), vlan.count > 0 ? vlan.vid[0] : uint16_t{0});
  if (vlan.count == 2) WantVid(filter, kEthernetHeader, vlan.vid[1]);
  const uint32_t type_at = static_cast<uint32_t>(kEthernetHeader) - 2 + (vlan.count == 2 ? kVlanTag : 0);
  Load(filter, BPF_H, type_at);
  Equal(filter, kEtherTypeArp, 1);
  Answer(filter, UINT32_MAX);
  Take(filter, type_at, kEtherTypeIpv4, kBroadcastMac);
  Take(filter, type_at, kEtherTypeIpv4, kAllHostsMac);
  Take(filter, type_at, kEtherTypeIpv6, kAllNodesMac);
  Answer(filter, 0);
  return filter;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PacketTap>> PacketTap::Open(const NetDeviceOptions& device) {
  std::unique_ptr<PacketTap> tap(new PacketTap);
  tap->index_ = device.index;
  tap->vlan_ = device.vlan;
  const auto failed = [&] { return runtime::ErrnoStatus(errno, absl::StrCat("packet socket on ", device.name)); };
  // Protocol 0: nothing arrives before the bind, when the filter is there.
  tap->fd_ = runtime::UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = tap->fd_.get(), on = 1;
  if (fd < 0) return failed();
  Filter filter = FilterFor(device.vlan);
  const sock_fprog program{.len = static_cast<uint16_t>(filter.size()), .filter = filter.data()};
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(device.index);
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed();
  }
  // The kernel may have these groups already; where its IPv6 is off it does not.
  absl::Status joined = tap->Join(kAllHostsMac);
  joined.Update(tap->Join(kAllNodesMac));
  if (!joined.ok()) return joined;
  return tap;
}

absl::Status PacketTap::SetMembership(const MacAddress& group, bool join) {
  packet_mreq request = {};
  request.mr_ifindex = static_cast<int>(index_);
  request.mr_type = PACKET_MR_MULTICAST;
  request.mr_alen = static_cast<uint16_t>(group.bytes.size());
  std::memcpy(request.mr_address, group.bytes.data(), group.bytes.size());
  const int option = join ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
  if (setsockopt(fd_.get(), SOL_PACKET, option, &request, sizeof request) == 0) return absl::OkStatus();
  return runtime::ErrnoStatus(errno, "multicast filter of the interface");
}

runtime::Frame* PacketTap::ReceiveOne(runtime::FramePool& pool, bool* lost) {
  // As for UDP sockets: the pool's last frames are for the ring.
  runtime::Frame* frame = pool.free_count() > pool.size() / 16 ? pool.Alloc() : nullptr;
  // Around the place of the tag that the kernel took off.
  constexpr size_t kAddresses = 12;
  const size_t tag = vlan_.count > 0 ? kVlanTag : 0;
  iovec pieces[2] = {};
  if (frame != nullptr) {
    pieces[0] = {frame->data, kAddresses};
    pieces[1] = {frame->data + kAddresses + tag, frame->tailroom() - kAddresses - tag};
  }
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  const ssize_t n = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
  *lost = n >= 0 && (frame == nullptr || (message.msg_flags & MSG_TRUNC) != 0);
  if (n < 0 || *lost) {
    if (frame != nullptr) runtime::Unref(frame);
    return nullptr;
  }
  frame->len = static_cast<uint32_t>(static_cast<size_t>(n) + tag);
  if (tag != 0) {
    runtime::StoreBe16(frame->data + kAddresses, vlan_.count == 2 ? kEtherTypeQinQ : kEtherTypeVlan);
    runtime::StoreBe16(frame->data + kAddresses + 2, vlan_.vid[0]);
  }
  return frame;
}

size_t PacketTap::Receive(Inet& inet, Interface& in, PcapWriter* capture, Nanos now_ns) {
  runtime::Frame* burst[kBurst];
  size_t n = 0;
  for (size_t looks = 0; looks < kBurst && readable_; ++looks) {
    bool lost;
    runtime::Frame* frame = ReceiveOne(inet.ip.pool, &lost);
    if (frame != nullptr) {
      burst[n++] = frame;
      if (capture != nullptr) capture->Write(frame->bytes());
    } else if (lost) {
      ++counters_.dropped;
      inet.ip.outcomes.Count(DropReason::kTapNoFrame);
    } else {
      readable_ = false;  // empty, or the interface went down: what comes next is announced anew
    }
  }
  counters_.frames += n;
  ReceiveBurst(inet, in, {burst, n}, now_ns);
  return n;
}

PacketTap::Counters PacketTap::counters() {
  tpacket_stats stats = {};  // reading them sets them to 0
  socklen_t size = sizeof stats;
  if (getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0) counters_.dropped += stats.tp_drops;
  return counters_;
}

}  // namespace weir::netstack
