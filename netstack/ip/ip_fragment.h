// Output in fragments, where it is allowed: what this host sends, of both versions (RFC 791 §3.2, RFC 8200 §4.5), and
// IPv4 packets of others that do not forbid it (RFC 1812 §5.2.6). Linux: ip_append_data and ip_fragment, ip6_fragment.
#ifndef NETSTACK_IP_IP_FRAGMENT_H_
#define NETSTACK_IP_IP_FRAGMENT_H_

#include <sys/uio.h>

#include <span>

#include "netstack/ip/ip_output.h"

namespace weir::netstack {

// Sends a packet of `header`, which is the transport's, and `data`, copied into as few packets as the path allows: whole,
// in up to kMaxPacketFrames frames, or in fragments, each of which is in one. All of it, or nothing when there is not
// enough room for all. Hooks see the first fragment: what they decide holds for all
// of them, and what they make of its header is in all (Linux: they run before the packet is cut).
DropReason IpFragmentOutput(IpContext& context, std::span<const std::byte> header, std::span<const iovec> data,
                            const IpFlow& flow, Nanos now_ns);

// The same with an IPv4 packet that was received, for a link that is narrower than it; it may be a fragment already.
// `frame` begins at its header, which has `header_size` bytes, and the packet goes on in `more`; the caller keeps its
// references.
DropReason IpFragmentForward(Interface& out, runtime::Frame& frame, uint32_t header_size, const IpAddress& next_hop,
                             Nanos now_ns, std::span<runtime::Frame* const> more = {});

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_FRAGMENT_H_
