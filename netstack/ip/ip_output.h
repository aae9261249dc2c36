// IP output: route, header, neighbour. Linux: ip_queue_xmit, ip_local_out, ip_finish_output2; ip6_xmit.
#ifndef NETSTACK_IP_IP_OUTPUT_H_
#define NETSTACK_IP_IP_OUTPUT_H_

#include "netstack/ip/ip_context.h"

namespace weir::netstack {

inline constexpr uint8_t kDefaultTtl = 64;

// Whether a packet may be cut into fragments: IP_MTU_DISCOVER of Linux, of the same names.
enum class PmtuDiscovery : uint8_t {
  kDo,    // never: routers tell us of a narrower path (DF), and what does not fit is not sent
  kWant,  // as kDo when it fits the path as far as that is known, else we cut it
  kDont,  // by us and by routers
};

// Which way a packet goes out of this host, and what its header says.
struct IpFlow {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  uint8_t tos = 0;
  uint8_t ttl = 0;  // 0: 64, for multicast 1, for IPv6 what the router said (RFC 4861 §6.3.2)
  PmtuDiscovery pmtu_discovery = PmtuDiscovery::kDo;  // IPv6 routers never cut a packet
  // IPv4 and IPv6: a router alert option goes in (RFC 2113, RFC 2711), for IGMP and MLD.
  bool router_alert = false;
  // Of IPv4, when there is no router alert: a multiple of four bytes. Not in what is cut into fragments.
  std::span<const std::byte> options;
  Interface* out = nullptr;  // wanted; needed for link-local and multicast destinations when there are several
};

// Where a packet goes next. `out` is nullptr without a route.
struct NextHop {
  Interface* out = nullptr;
  IpAddress ip;  // of the neighbour; for multicast and broadcast the destination itself
};

// Of the IP packet that `frame` begins with.
IpAddress DestinationOf(const runtime::Frame& frame);

NextHop RouteLookup(IpContext& context, const IpAddress& destination, Interface* out = nullptr);

// The source address that a socket without one gets for `destination`: false when there is none, or no route.
bool SelectSource(IpContext& context, const IpAddress& destination, Interface* out, IpAddress* source);

// Largest packet that goes to `destination` in one piece: of the path, where it is known to be narrower than the link.
uint32_t PathMtu(IpContext& context, const IpAddress& destination, Interface* out = nullptr);

// Takes over one reference on `frame`, which begins at its transport header and has headroom for the rest, and on each of
// `more`, in which the packet goes on (fewer than kMaxPacketFrames). What does not fit the path is cut into fragments
// (ip_fragment.h), which have no options, or is kTxTooBig with kDo.
DropReason IpOutput(IpContext& context, runtime::Frame* frame, const IpFlow& flow, Nanos now_ns,
                    std::span<runtime::Frame* const> more = {});

// Put a header in front of a frame, for IpOutput and IpFragmentOutput. `fragment`: flags and offset. `more`: bytes of the
// packet that are not in the frame.
void PushIpv4(runtime::Frame& frame, const IpFlow& flow, Interface& out, uint16_t id, uint16_t fragment,
              uint32_t more = 0);
void PushIpv6(runtime::Frame& frame, const IpFlow& flow, Interface& out, uint32_t more = 0);

// Hooks, for a frame that begins at its complete IP header; not kConsumed: it goes no farther. LOCAL_OUT, for what this
// host made: a packet that was given another destination takes its way (ip_local_out, ip_route_me_harder).
DropReason LocalOutHooks(IpContext& context, runtime::Frame& frame, const IpFlow& flow, NextHop* hop, Nanos now_ns);
// POST_ROUTING, for every packet.
DropReason PostRoutingHooks(Interface& out, runtime::Frame& frame, Nanos now_ns);

// Every packet: hook POST_ROUTING, and on (ip_output); to the neighbour, or to the link's group (ip_finish_output2).
DropReason IpFinishOutput(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                          std::span<runtime::Frame* const> more = {});
DropReason IpFinishOutput2(Interface& out, runtime::Frame* frame, const IpAddress& next_hop, Nanos now_ns,
                           std::span<runtime::Frame* const> more = {});

// The link-layer group of an IP group: RFC 1112 §6.4, RFC 2464 §7.
MacAddress MulticastMac(const IpAddress& group);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_IP_OUTPUT_H_
