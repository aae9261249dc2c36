// ICMP errors that the stack sends, of both versions (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3; RFC 4443 §2.4).
#ifndef NETSTACK_IP_ICMP_OUTPUT_H_
#define NETSTACK_IP_ICMP_OUTPUT_H_

#include "netstack/drop_reason.h"
#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_packet.h"

namespace weir::netstack {

// What was wrong with a packet, in words that both versions have.
enum class IcmpError : uint8_t {
  kNoRoute,
  kAddressUnreachable,
  kProhibited,
  kProtocolUnreachable,  // info of IPv6: where the Next Header field is
  kPortUnreachable,
  kTooBig,               // info: the MTU that would fit
  kTtlExceeded,
  kReassemblyTime,
  kBadHeader,            // info: where the field is
  kBadOption,            // IPv6 only; info as above
  kIncompleteHeaders,    // IPv6 only: of a first fragment (RFC 7112 §5)
};

// Tells the source of `about`, when nothing forbids it: not about ICMP errors, later fragments, what went to several
// hosts or came from none (RFC 1122 §3.2.2, RFC 4443 §2.4(e)), nor beyond the rate limit. Linux: icmp_send, icmp6_send.
void IcmpSend(IpContext& context, const IpPacket& about, IcmpError error, uint32_t info, Nanos now_ns);

// Fills in the checksum of the ICMP message that `frame` begins with and sends it (takes over one reference).
DropReason IcmpOutput(IpContext& context, runtime::Frame* frame, const struct IpFlow& flow, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_ICMP_OUTPUT_H_
