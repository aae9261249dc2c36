// ICMP errors received, of both versions (RFC 792, RFC 1122 §3.2.2; RFC 4443 §3). Whoever can guess addresses and ports
// can send them (RFC 5927), so nothing happens before a live socket has recognized the packet that one quotes. Linux:
// icmp_unreach, icmp_err_convert; icmpv6_notify, icmpv6_err_convert.
#ifndef NETSTACK_IP_ICMP_ERROR_H_
#define NETSTACK_IP_ICMP_ERROR_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/inet.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// The checksum is right. Source quench (RFC 6633 §3) is not looked at: kIcmpType, as for codes that nobody knows; nor are
// redirects.
DropReason IcmpErrorRcv(Inet& inet, const IpPacket& packet, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ICMP_ERROR_H_
