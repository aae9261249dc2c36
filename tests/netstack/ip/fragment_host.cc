#include "tests/netstack/ip/fragment_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace weir::testing_support {
namespace {

InetTestHost::Options WithIp6(InetTestHost::Options options) {
  options.ip6 = IpPrefix{IpAddress::Parse(kHostIp6).value(), 64};
  return options;
}

}  // namespace

Bytes Fragment(const FragmentSpec& spec, View bytes) {
  if (spec.v4) {
    const auto field = static_cast<uint16_t>(spec.offset / 8 | (spec.more ? 0x2000 : 0));
    return Ethernet({}, Ipv4({.protocol = spec.protocol,
                              .tos = spec.tos,
                              .id = static_cast<uint16_t>(spec.id),
                              .fragment = field},
                             bytes));
  }
  Bytes rest(1);  // reserved
  Append16(rest, static_cast<uint16_t>(spec.offset | (spec.more ? 1 : 0)));
  Append32(rest, spec.id);
  Bytes packet = Ipv6({.protocol = spec.protocol, .extensions = {{44, rest}}}, bytes);
  Put32(packet, 0, uint32_t{6} << 28 | uint32_t{spec.tos} << 20);
  return Ethernet({.type = 0x86dd}, packet);
}

std::vector<Bytes> Cut(FragmentSpec spec, View packet, size_t size) {
  std::vector<Bytes> frames;
  for (size_t at = 0; at < packet.size(); at += size) {
    spec.offset = at;
    spec.more = at + size < packet.size();
    frames.push_back(Fragment(spec, packet.subspan(at, std::min(size, packet.size() - at))));
  }
  return frames;
}

FragmentHost::FragmentHost(Options options) : InetTestHost(WithIp6(options)) {
  Learn();
  netstack::Neighbour& peer =
      interface().neighbours.FindOrCreate(interface(), IpAddress::Parse(kPeerIp6).value());
  NeighbourUpdate(interface(), peer, {kPeerMac}, /*confirmed=*/true, now());
  EXPECT_EQ(0, inet().udp.Bind(sock_, {{}, 7}));
}

FragmentHost::~FragmentHost() { inet().udp.Unbind(sock_); }

std::string FragmentHost::Take(const Bytes& frame) {
  Receive(frame);
  return netstack::kDropReasonNames[static_cast<size_t>(last())];
}

Bytes FragmentHost::TakeDatagram() {
  if (!has_datagram()) return {};
  const netstack::Datagram datagram = sock_.receive_queue.Pop();
  EXPECT_TRUE(sock_.receive_queue.empty());
  Bytes bytes(datagram.data.size());
  datagram.data.CopyTo(bytes);
  return bytes;
}

Bytes FragmentHost::Join(size_t* frames) {
  std::map<size_t, Bytes> pieces;
  std::optional<uint32_t> id;
  std::optional<size_t> end;
  size_t count = 0;
  for (; has_sent(); ++count) {
    const Bytes frame = TakeSent().frame;
    EXPECT_GE(14 + interface().device.mtu(), frame.size());
    const View ip = View(frame).subspan(14);
    const bool v4 = Get16(frame, 12) == 0x0800;
    if (v4) EXPECT_EQ(0xffff, NaiveSum(ip.first(20)));
    EXPECT_EQ(ip.size(), v4 ? Get16(ip, 2) : size_t{40} + Get16(ip, 4));
    if (!v4 && ip[6] != std::byte{44}) {
      ADD_FAILURE() << "no Fragment header";
      return {};
    }
    const uint16_t field = Get16(ip, v4 ? 6 : 42);
    const size_t offset = v4 ? size_t{8} * (field & 0x1fff) : field & 0xfff8;
    const bool more = (field & (v4 ? 0x2000 : 1)) != 0;
    if (v4) EXPECT_EQ(0, field & 0x4000) << "DF in a fragment";
    const uint32_t this_id = v4 ? Get16(ip, 4) : Get32(ip, 44);
    EXPECT_EQ(id.value_or(this_id), this_id);
    id = this_id;
    const View bytes = ip.subspan(v4 ? 20 : 48);
    if (more) {
      EXPECT_EQ(0u, bytes.size() % 8);
    } else {
      end = offset + bytes.size();
    }
    pieces[offset].assign(bytes.begin(), bytes.end());
  }
  Bytes whole;
  for (const auto& [offset, bytes] : pieces) {
    EXPECT_EQ(whole.size(), offset) << "a hole or an overlap";
    Append(whole, bytes);
  }
  EXPECT_EQ(end.value_or(0), whole.size());
  if (frames != nullptr) *frames = count;
  return whole;
}

}  // namespace weir::testing_support
