// IP output: route, header, neighbour. Linux: ip_queue_xmit, ip_local_out, ip_finish_output2.
#ifndef NETSTACK_IP_IP_OUTPUT_H_
#define NETSTACK_IP_IP_OUTPUT_H_

#include "netstack/ip/ip_context.h"

namespace weir::netstack {

inline constexpr uint8_t kDefaultTtl = 64;

// Which way a packet goes out of this host.
struct IpFlow {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t tos = 0;
  uint8_t ttl = kDefaultTtl;
};

// The neighbour to send to for `destination`: itself when it is on the link, else the gateway; nullptr without a route.
const IpAddress* RouteLookup(const IpContext& context, const IpAddress& destination);

// Takes over one reference on `frame`, which begins at its transport header and has headroom for the rest. Never
// fragments: DF is set, so that path MTU discovery works (RFC 1191 §3).
DropReason IpOutput(IpContext& context, runtime::Frame* frame, const IpFlow& flow, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_OUTPUT_H_
