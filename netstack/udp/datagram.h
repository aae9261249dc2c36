// Datagram: a received UDP datagram, as the socket's queue holds it and as Recvmsg() gives it.
#ifndef NETSTACK_UDP_DATAGRAM_H_
#define NETSTACK_UDP_DATAGRAM_H_

#include <cstddef>
#include <cstdint>

#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/buffer/recv_buffer.h"

namespace weir::netstack {

struct Datagram {
  // The payload, in the frame or, when it came in fragments, the frames that it lies in. What was sent to a group lies in
  // the same frames for all its members on this host.
  RecvBuffer data;
  Endpoint peer;
  Endpoint local;          // where it was sent to, perhaps a group
  uint32_t interface = 0;  // the index of the one it came in on
  uint8_t ttl = 0;         // what was left of it, or of its hop limit
  uint8_t tos = 0;         // or the traffic class
  uint16_t missing = 0;    // bytes of its end, for which the kernel was not given enough frames
  // When it arrived, on the clock of Shard::now_ns (CLOCK_MONOTONIC): in the kernel (SO_TIMESTAMPNS), or when the turn
  // began that took it off the ring.
  Nanos received_ns = 0;

  bool truncated() const { return missing != 0; }  // MSG_TRUNC among msg_flags
  size_t length() const { return data.size() + missing; }  // as it was sent
  // The same once more, in the same memory, with references of its own.
  Datagram Share() const {
    return {.data = RecvBuffer(data.Share()),
            .peer = peer,
            .local = local,
            .interface = interface,
            .ttl = ttl,
            .tos = tos,
            .missing = missing,
            .received_ns = received_ns};
  }
};

// What Recvmsg into the program's memory tells of a datagram.
struct DatagramInfo {
  size_t copied = 0;
  size_t length = 0;  // of the datagram, as with MSG_TRUNC
  Endpoint peer;
  Endpoint local;
  uint32_t interface = 0;
  uint8_t ttl = 0;
  uint8_t tos = 0;
  Nanos received_ns = 0;

  bool truncated() const { return copied < length; }
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_DATAGRAM_H_
