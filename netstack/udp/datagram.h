// Datagram: a received UDP datagram, as the socket's queue holds it and as Recvmsg() gives it.
#ifndef NETSTACK_UDP_DATAGRAM_H_
#define NETSTACK_UDP_DATAGRAM_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/buffer/recv_buffer.h"

namespace weir::netstack {

// What is known of a datagram beside its bytes.
struct DatagramHeader {
  Endpoint peer;
  Endpoint local;          // where it was sent to, perhaps a group
  uint32_t interface = 0;  // the index of the one it came in on
  uint8_t ttl = 0;         // what was left of it, or of its hop limit
  uint8_t tos = 0;         // or the traffic class
  uint16_t missing = 0;    // bytes of its end, for which the kernel was not given enough frames
  // When it arrived, on the clock of Shard::now_ns (CLOCK_MONOTONIC): in the kernel (SO_TIMESTAMPNS), or when the turn
  // began that took it off the ring.
  Nanos received_ns = 0;
};

struct Datagram : DatagramHeader {
  Datagram() = default;
  Datagram(const DatagramHeader& header, RecvBuffer&& bytes) : DatagramHeader(header), data(std::move(bytes)) {}
  // Of what lies in `waiting.frame` (WaitingDatagram): each part is read when it is put in its place. To have them all
  // before costs a tenth of what making the record does.
  template <typename Waiting>
    requires requires(const Waiting& waiting) { waiting.frame; }
  explicit Datagram(const Waiting& waiting)
      : DatagramHeader{.peer = {waiting.source(), waiting.source_port(), waiting.scope_id()},
                       .local = {waiting.destination(), waiting.destination_port()},
                       .interface = waiting.interface(),
                       .ttl = waiting.ttl(),
                       .tos = waiting.tos(),
                       .received_ns = waiting.received_ns()},
        data(&waiting.frame, waiting.frame.bytes()) {}

  // The payload, in the frame or, when it came in fragments, the frames that it lies in. What was sent to a group lies
  // in the same frames for all its members on this host.
  RecvBuffer data;

  bool truncated() const { return missing != 0; }  // MSG_TRUNC among msg_flags
  size_t length() const { return data.size() + missing; }  // as it was sent
  // The same once more, in the same memory, with references of its own.
  Datagram Share() const { return {*this, RecvBuffer(data.Share())}; }
};

// What Recvmsg into the program's memory tells of a datagram.
struct DatagramInfo : DatagramHeader {
  size_t copied = 0;
  size_t length = 0;  // of the datagram, as with MSG_TRUNC

  bool truncated() const { return copied < length; }
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_DATAGRAM_H_
