// UdpReceiveQueue: the datagrams that wait for a socket's reader, and the error that comes before them (sk_receive_queue
// and sk_err of Linux).
//
// A datagram that lies in one frame behind its headers, as nearly all do, waits as that frame: whom it is from and to is
// read from the headers when it is taken, so that a queue is a ring of pointers. Any other waits as its record, in
// recycled memory.
#ifndef NETSTACK_UDP_UDP_RECEIVE_QUEUE_H_
#define NETSTACK_UDP_UDP_RECEIVE_QUEUE_H_

#include <cstddef>
#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/udp/datagram.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/udp.h"
#include "runtime/base/byte_order.h"
#include "runtime/base/fixed_ring.h"
#include "runtime/base/time.h"
#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

// What is known of a frame that waits, beside its headers. In its Cb: sockets that share the frame share this too.
struct UdpRxCb {
  Nanos received_ns;
  uint32_t interface;
  uint16_t headers;  // bytes from the IP header, whose addresses count, to the payload
  uint8_t ttl;
  uint8_t tos;
};

class UdpReceiveQueue {
 public:
  // `datagrams`: at most so many, and as many frames, with those that the program keeps of what it got; one of 64 KiB
  // lies in about 45. Rounded up to a power of two. `sock`: whom these count against.
  UdpReceiveQueue(ReadySock& sock, size_t datagrams) : sock_(sock), ring_(datagrams) {}
  ~UdpReceiveQueue() { Clear(); }

  // `frame` is at its payload, and its Cb is a UdpRxCb. The queue takes a reference. False: there is no room.
  bool Push(runtime::Frame& frame) {
    if (frames_ + sock_.held() >= ring_.capacity()) [[unlikely]] return false;
    ++frames_;
    runtime::Ref(&frame);
    *ring_.PushSlot() = reinterpret_cast<Slot>(&frame);
    return true;
  }
  // One with as many frames as it likes. False, and `datagram` is the caller's: there is no room.
  bool Push(Datagram&& datagram);

  // Makes `fresh` the oldest, with its references. Only when there is one, and of a record that holds nothing yet.
  [[gnu::always_inline]] void PopTo(Datagram& fresh) {
    const Slot slot = ring_.Pop();
    --frames_;
    if ((slot & kRecord) != 0) [[unlikely]] return Unpack(reinterpret_cast<Datagram*>(slot - kRecord), fresh);
    auto* frame = reinterpret_cast<runtime::Frame*>(slot);
    Read(*frame, fresh);
    HandOver(frame);
  }
  // The oldest, which stays; only when there is one.
  Datagram Peek();
  Datagram Pop() {
    Datagram datagram;
    PopTo(datagram);
    return datagram;
  }
  void Clear() {
    while (!empty()) static_cast<void>(Pop());
  }

  bool empty() const { return ring_.empty(); }
  size_t size() const { return ring_.size(); }
  // A datagram is there, and nothing comes before it.
  bool ready() const { return !empty() && error == 0; }

  int error = 0;  // what ICMP said of a connected socket's datagrams, an errno; for the next call, once

 private:
  // A Frame*, or a Datagram* with this bit, which is 0 in both.
  using Slot = uintptr_t;
  static constexpr Slot kRecord = 1;

  static void Read(runtime::Frame& frame, Datagram& to);
  void Unpack(Datagram* record, Datagram& to) noexcept;
  // It is the program's from now on. What members of a group share counts against none of them, but while it waits: one
  // that keeps it must not use up the room of the others.
  void HandOver(runtime::Frame* frame) {
    if (frame->refs != 1 || frame->charged()) [[unlikely]] return;
    frame->pool->Charge(frame, runtime::FramePool::HolderKind::kUdp, sock_);
  }

  ReadySock& sock_;
  runtime::FixedRing<Slot> ring_;  // a datagram has at least one frame
  size_t frames_ = 0;
};

[[gnu::always_inline]] inline void UdpReceiveQueue::Read(runtime::Frame& frame, Datagram& to) {
  const UdpRxCb& cb = frame.Cb<UdpRxCb>();
  const std::byte* ip = frame.data - cb.headers;
  const std::byte* udp = frame.data - UdpHeader::kSize;
  to.data.Append(&frame, frame.bytes());
  if (runtime::LoadU8(ip) >> 4 == 4) [[likely]] {
    to.peer.ip = IpAddress::V4(runtime::LoadBe32(ip + Ipv4Header::kSourceOffset));
    to.local.ip = IpAddress::V4(runtime::LoadBe32(ip + Ipv4Header::kDestinationOffset));
  } else {
    to.peer.ip = LoadIpv6Address(ip + Ipv6Header::kSourceOffset);
    to.local.ip = LoadIpv6Address(ip + Ipv6Header::kSourceOffset + 16);
    if (to.peer.ip.is_link_local()) to.peer.scope_id = cb.interface;  // RFC 4007 §6
  }
  to.peer.port = runtime::LoadBe16(udp);
  to.local.port = runtime::LoadBe16(udp + 2);
  to.interface = cb.interface;
  to.ttl = cb.ttl;
  to.tos = cb.tos;
  to.received_ns = cb.received_ns;
}

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_RECEIVE_QUEUE_H_
