// Datagram: a received UDP datagram, as the socket's queue holds it and as Recvmsg() gives it.
#ifndef NETSTACK_UDP_DATAGRAM_H_
#define NETSTACK_UDP_DATAGRAM_H_

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
  bool truncated = false;  // the end is missing: it was larger than the frames that the kernel was given for it
  // When it arrived, on the clock of Shard::now_ns (CLOCK_MONOTONIC): in the kernel (SO_TIMESTAMPNS), or when the turn
  // began that took it off the ring.
  Nanos received_ns = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_UDP_DATAGRAM_H_
