#include "netstack/ip/icmp_error.h"

#include <cerrno>
#include <iterator>

#include "netstack/ip/transport_error.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/udp/ping.h"
#include "netstack/udp/udp_error.h"
#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"

namespace weir::netstack {
namespace {

struct Meaning {
  int error;
  bool hard;
};

// By the code of Destination Unreachable: Linux's icmp_err_convert.
constexpr Meaning kUnreachable[] = {
    {ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},   {ECONNREFUSED, true},
    {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},   {EHOSTDOWN, true},
    {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true},  {ENETUNREACH, false},
    {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true},  {EHOSTUNREACH, true},
};
// The same for IPv6: tab_unreach.
constexpr Meaning kUnreachable6[] = {
    {ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
    {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true},
};

// The quoted packet: false when it is cut short, malformed, or was not sent by us.
bool ParseQuote4(IpContext& context, std::span<const std::byte> quote, TransportError* error, uint8_t* protocol) {
  if (quote.size() < Ipv4Header::kMinSize) return false;
  Ipv4Header header;
  header.Parse(quote.data());
  // RFC 1122 §3.2.2: at least 8 bytes behind the header. Fragments behind the first do not begin with the transport's.
  if (header.version != 4 || header.header_size < Ipv4Header::kMinSize ||
      quote.size() < header.header_size + TransportError::kQuoted || (header.fragment & Ipv4Header::kOffsetMask) != 0) {
    return false;
  }
  error->source = IpAddress::V4(header.source);
  error->destination = IpAddress::V4(header.destination);
  error->length = header.total_length;
  error->transport = quote.subspan(header.header_size);
  *protocol = header.protocol;
  return context.IsLocal(error->source);
}

bool ParseQuote6(IpContext& context, std::span<const std::byte> quote, TransportError* error, uint8_t* protocol) {
  if (quote.size() < Ipv6Header::kSize) return false;
  Ipv6Header header;
  header.Parse(quote.data());
  if (header.version != 6 || header.source.is_v4() || header.destination.is_v4()) return false;
  error->source = header.source;
  error->destination = header.destination;
  error->length = static_cast<uint32_t>(Ipv6Header::kSize) + header.payload_length;
  std::span<const std::byte> rest = quote.subspan(Ipv6Header::kSize);
  Ipv6ExtensionResult found = WalkIpv6Extensions(rest, header.next_header);
  if (found.outcome == Ipv6ExtensionResult::Outcome::kFragment && found.fragment.offset == 0) {
    const size_t skip = found.offset + Ipv6FragmentHeader::kSize;
    rest = rest.subspan(skip);
    found = WalkIpv6Extensions(rest, found.fragment.next_header, skip);
  }
  if (found.outcome != Ipv6ExtensionResult::Outcome::kUpperLayer ||
      rest.size() - found.offset < TransportError::kQuoted) {
    return false;
  }
  error->transport = rest.subspan(found.offset);
  *protocol = found.protocol;
  return context.IsLocal(error->source);
}

// What the message of IPv4 says: false when nothing that concerns a transport.
bool ParseError4(std::span<const std::byte> message, TransportError* error) {
  const uint8_t type = runtime::LoadU8(message.data()), code = runtime::LoadU8(message.data() + 1);
  if (type == kIcmpUnreachable && code < std::size(kUnreachable)) {
    error->error = kUnreachable[code].error;
    error->hard = kUnreachable[code].hard;
    error->too_big = code == kIcmpCodeFragmentationNeeded;
    error->mtu = runtime::LoadBe16(message.data() + 6);  // RFC 1191 §4
  } else if (type == kIcmpTimeExceeded) {
    error->error = EHOSTUNREACH;
  } else if (type == kIcmpParameterProblem) {
    error->error = EPROTO;
    error->hard = true;
  }
  return error->error != 0;
}

bool ParseError6(std::span<const std::byte> message, TransportError* error) {
  const uint8_t type = runtime::LoadU8(message.data()), code = runtime::LoadU8(message.data() + 1);
  if (type == kIcmp6Unreachable && code < std::size(kUnreachable6)) {
    error->error = kUnreachable6[code].error;
    error->hard = kUnreachable6[code].hard;
  } else if (type == kIcmp6PacketTooBig) {
    error->error = EMSGSIZE;
    error->too_big = true;
    error->mtu = runtime::LoadBe32(message.data() + 4);
  } else if (type == kIcmp6TimeExceeded) {
    error->error = EHOSTUNREACH;
  } else if (type == kIcmp6ParameterProblem) {
    error->error = EPROTO;
    error->hard = true;
  }
  return error->error != 0;
}

}  // namespace

DropReason IcmpErrorRcv(Inet& inet, const IpPacket& packet, Nanos now_ns) {
  const std::span<const std::byte> message = packet.frame.bytes(), quote = message.subspan(kIcmpHeader);
  const bool v4 = packet.is_v4();
  // Differs from Linux (accept_redirects), as for those of IPv6 (ndisc.cc): an honest one saves a hop, and anybody can
  // send one in a router's name.
  if (v4 && runtime::LoadU8(message.data()) == kIcmpRedirect) return DropReason::kIcmpRedirect;
  TransportError error{.in = packet.in};
  if (!(v4 ? ParseError4(message, &error) : ParseError6(message, &error))) return DropReason::kIcmpType;
  if (packet.to != IpDestination::kLocal) return DropReason::kIcmpBroadcast;
  uint8_t protocol = 0;
  const bool ours = v4 ? ParseQuote4(inet.ip, quote, &error, &protocol) : ParseQuote6(inet.ip, quote, &error, &protocol);
  if (!ours) return DropReason::kIcmpQuote;
  switch (protocol) {
    case kProtocolTcp:
      return TcpErr(inet.tcp, error, now_ns);
    case kProtocolUdp:
      return UdpErr(inet.udp, error, now_ns);
    case kProtocolIcmp:
    case kProtocolIcmp6:
      return PingErr(inet.ping, error, now_ns);
    default:
      return DropReason::kIcmpNoSocket;
  }
}

}  // namespace weir::netstack
