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

// A datagram in `frame`, at its payload, behind its headers.
template <bool kV4>
struct WaitingDatagram {
  const UdpRxCb& cb() const { return frame.Cb<UdpRxCb>(); }
  const std::byte* ip() const { return frame.data - cb().headers; }
  IpAddress source() const {
    if constexpr (!kV4) return LoadIpv6Address(ip() + Ipv6Header::kSourceOffset);
    return IpAddress::V4(runtime::LoadBe32(ip() + Ipv4Header::kSourceOffset));
  }
  IpAddress destination() const {
    if constexpr (!kV4) return LoadIpv6Address(ip() + Ipv6Header::kSourceOffset + 16);
    return IpAddress::V4(runtime::LoadBe32(ip() + Ipv4Header::kDestinationOffset));
  }
  uint32_t scope_id() const { return !kV4 && source().is_link_local() ? interface() : 0; }  // RFC 4007 §6
  uint16_t source_port() const { return runtime::LoadBe16(frame.data - UdpHeader::kSize); }
  uint16_t destination_port() const {
    return runtime::LoadBe16(frame.data - UdpHeader::kSize + UdpHeader::kDestinationPortOffset);
  }
  uint32_t interface() const { return cb().interface; }
  uint8_t ttl() const { return cb().ttl; }
  uint8_t tos() const { return cb().tos; }
  Nanos received_ns() const { return cb().received_ns; }

  runtime::Frame& frame;
};

class UdpReceiveQueue {
 public:
  // One that other sockets get too, and which says of none of them that it counts against it.
  struct SharedFrame {
    runtime::Frame& frame;
  };

  // `datagrams`: at most so many, and as many frames, with those that the program keeps of what it got; one of 64 KiB
  // lies in about 45. Rounded up to a power of two. `sock`: whom these count against, from when they are queued until
  // they come back (skb_set_owner_r).
  UdpReceiveQueue(ReadySock& sock, size_t datagrams)
      : sock_(sock), ring_(datagrams), room_(static_cast<uint32_t>(ring_.capacity())) {}
  ~UdpReceiveQueue() { Clear(); }

  // `frame` is at its payload, and its Cb is a UdpRxCb. The queue takes a reference. False: there is no room.
  bool Push(runtime::Frame& frame) {
    if (sock_.held() >= room_) [[unlikely]] return false;
    frame.pool->Charge(&frame, sock_);
    PushFrame(frame);
    return true;
  }
  bool Push(SharedFrame shared) {
    if (sock_.held() >= room_) [[unlikely]] return false;
    sock_.Take(1);
    PushFrame(shared.frame);
    return true;
  }
  // One with as many frames as it likes. False, and `datagram` is the caller's: there is no room.
  bool Push(Datagram&& datagram);

  // The oldest, with its references; only when there is one.
  Datagram Pop() {
    runtime::Frame* frame = PopUsual();
    return frame != nullptr ? Datagram(WaitingDatagram<true>{*frame}) : PopUnusual();
  }
  // The same in two steps. The first gives its frame when it is as nearly all are: IPv4, in one frame, for this socket.
  runtime::Frame* PopUsual() {
    const Slot slot = ring_.Front();
    auto* frame = reinterpret_cast<runtime::Frame*>(slot);
    if ((slot & kRecord) != 0 || !frame->charged() || !IsV4(*frame)) [[unlikely]] return nullptr;
    ring_.DropFront();
    return frame;
  }
  Datagram PopUnusual();
  // The oldest, which stays; only when there is one.
  Datagram Peek();
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

  void PushFrame(runtime::Frame& frame) {
    runtime::Ref(&frame);
    *ring_.PushSlot() = reinterpret_cast<Slot>(&frame);
  }
  static bool IsV4(runtime::Frame& frame) {
    return runtime::LoadU8(frame.data - frame.Cb<UdpRxCb>().headers) >> 4 == 4;
  }
  static Datagram Read(runtime::Frame& frame) {
    return IsV4(frame) ? Datagram(WaitingDatagram<true>{frame}) : Datagram(WaitingDatagram<false>{frame});
  }
  // Of a frame that does not say whom it counts against: it is the program's from now on. What members of a group share
  // counts against none of them, but while it waits: one that keeps it must not use up the room of the others.
  void HandOver(runtime::Frame* frame);

  ReadySock& sock_;
  runtime::FixedRing<Slot> ring_;  // a datagram has at least one frame
  uint32_t room_;                  // frames
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_UDP_RECEIVE_QUEUE_H_
