// TcpSegment: a received segment whose header was checked: its fields as sequence numbers, and the frame at its
// payload.
#ifndef NETSTACK_TCP_TCP_SEGMENT_H_
#define NETSTACK_TCP_TCP_SEGMENT_H_

#include <cstdint>

#include "netstack/tcp/seq.h"
#include "netstack/wire/tcp.h"
#include "runtime/base/ip_address.h"
#include "runtime/buffer/frame.h"

namespace weir::netstack {

struct TcpSegment {
  TcpHeader header;
  Seq seq;
  Seq ack;
  uint32_t payload = 0;  // bytes of data
  uint8_t ecn = 0;       // of the IP header (RFC 3168 §5)
  uint8_t ttl = 0;       // likewise
  runtime::Frame& frame;
  TcpOptions options;
  Endpoint source;
  Endpoint destination;
  uint32_t hash = 0;  // TcpDemux's of the two

  bool has(uint8_t flag) const { return header.has(flag); }
  // SEG.LEN of RFC 9293 §3.3.1: SYN and FIN count.
  uint32_t length() const { return payload + has(kTcpSyn) + has(kTcpFin); }
  Seq end() const { return seq + length(); }
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SEGMENT_H_
