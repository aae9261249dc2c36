// IP input (RFC 791, RFC 1122 §3.2.1). Linux: ip_rcv, ip_rcv_finish, ip_local_deliver.
#ifndef NETSTACK_IP_IP_INPUT_H_
#define NETSTACK_IP_IP_INPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"

namespace weir::netstack {

// `frame` begins at the IP header; the caller keeps its reference. Checks the header, cuts padding off, and passes the
// packet on to its transport. `link_multicast`: the frame was sent to a multicast or broadcast address of the link.
DropReason IpRcv(Inet& inet, runtime::Frame& frame, Nanos now_ns, bool link_multicast = false);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_INPUT_H_
