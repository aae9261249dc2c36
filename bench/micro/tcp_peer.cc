#include "bench/micro/tcp_peer.h"

#include <algorithm>

#include "netstack/wire/checksum.h"
#include "netstack/wire/ethernet.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/tcp.h"
#include "runtime/base/byte_order.h"
#include "runtime/base/check.h"
#include "tests/support/packets.h"

namespace weir::bench {
namespace {

using netstack::Ipv4Header, netstack::TcpHeader;
using testing_support::kHostIp, testing_support::kHostMac, testing_support::kPeerIp, testing_support::kPeerMac;

constexpr uint32_t kFirstPort = 1024;
constexpr uint32_t kPorts = 60000;  // behind them the next address
constexpr uint32_t kIss = 1000;

// Connections have addresses and ports of their own: 10.1.0.0 and up, which a route of the host leads to the peer.
uint32_t AddressOf(uint64_t flow) { return 0x0a010000 + static_cast<uint32_t>(flow / kPorts); }
uint16_t PortOf(uint64_t flow) { return static_cast<uint16_t>(kFirstPort + flow % kPorts); }
uint64_t FlowOf(uint32_t address, uint16_t port) {
  return uint64_t{address - 0x0a010000} * kPorts + port - kFirstPort;
}

}  // namespace

void TcpPeer::StartOver() {
  std::ranges::fill(connections_, Connection());
  ++round_;
  established_ = closed_ = 0;
}

size_t TcpPeer::Write(size_t i, std::byte* at, uint8_t flags, size_t payload) {
  const Connection& connection = connections_[i];
  const uint64_t flow = round_ * connections_.size() + i;
  const size_t options = (flags & netstack::kTcpSyn) != 0 ? kSynOptions : 0;
  const size_t segment = TcpHeader::kMinSize + options + payload;
  netstack::EmitEthernet(at, {kHostMac}, {kPeerMac}, {}, netstack::kEtherTypeIpv4);
  std::byte* ip = at + netstack::kEthernetHeader;
  std::byte* tcp = ip + Ipv4Header::kMinSize;
  const Ipv4Header ip_header{.total_length = static_cast<uint16_t>(Ipv4Header::kMinSize + segment),
                             .fragment = Ipv4Header::kDontFragment,
                             .protocol = netstack::kProtocolTcp,
                             .source = AddressOf(flow),
                             .destination = kHostIp};
  ip_header.Emit(ip);
  const TcpHeader header{.source_port = PortOf(flow),
                         .destination_port = kServerPort,
                         .seq = connection.seq,
                         .ack = connection.ack,
                         .header_size = static_cast<uint8_t>(TcpHeader::kMinSize + options),
                         .flags = flags,
                         .window = 65535};
  header.Emit(tcp);
  // MSS 1460, NOP, window scale 7.
  if (options > 0) {
    runtime::StoreBe32(tcp + 20, 0x020405b4);
    runtime::StoreBe32(tcp + 24, 0x01030307);
  }
  const auto pseudo = netstack::PseudoHeaderSum(IpAddress::V4(AddressOf(flow)), IpAddress::V4(kHostIp),
                                                netstack::kProtocolTcp, static_cast<uint32_t>(segment));
  netstack::StoreChecksum(tcp + TcpHeader::kChecksumOffset,
                          netstack::FinishChecksum(netstack::SumBytes({tcp, segment}) + pseudo));
  return std::max<size_t>(60, netstack::kEthernetHeader + Ipv4Header::kMinSize + segment);
}

size_t TcpPeer::Syn(size_t i, std::byte* at) {
  connections_[i].seq = kIss;
  const size_t size = Write(i, at, netstack::kTcpSyn, 0);
  connections_[i].seq = kIss + 1;
  return size;
}

size_t TcpPeer::Ack(size_t i, std::byte* at) { return Write(i, at, netstack::kTcpAck, 0); }

size_t TcpPeer::Data(size_t i, std::byte* at, size_t payload) {
  const size_t size = Write(i, at, netstack::kTcpAck | netstack::kTcpPsh, payload);
  connections_[i].seq += static_cast<uint32_t>(payload);
  return size;
}

size_t TcpPeer::Fin(size_t i, std::byte* at) {
  const size_t size = Write(i, at, netstack::kTcpAck | netstack::kTcpFin, 0);
  connections_[i].seq += 1;
  connections_[i].fin_sent = true;
  return size;
}

size_t TcpPeer::Rst(size_t i, std::byte* at) { return Write(i, at, netstack::kTcpAck | netstack::kTcpRst, 0); }

size_t TcpPeer::Arp(std::byte* at) {
  const testing_support::Bytes frame =
      testing_support::Ethernet({.destination = testing_support::kBroadcast, .type = 0x0806}, testing_support::Arp({}));
  std::ranges::copy(frame, at);
  return frame.size();
}

void TcpPeer::OnFrame(std::span<const std::byte> frame) {
  if (frame.size() < kHeaders || runtime::LoadBe16(frame.data() + 12) != netstack::kEtherTypeIpv4) return;
  Ipv4Header ip;
  ip.Parse(frame.data() + netstack::kEthernetHeader);
  TcpHeader tcp;
  tcp.Parse(frame.data() + netstack::kEthernetHeader + ip.header_size);
  const uint64_t flow = FlowOf(ip.destination, tcp.destination_port) - round_ * connections_.size();
  WEIR_CHECK(ip.protocol == netstack::kProtocolTcp && flow < connections_.size() && !tcp.has(netstack::kTcpRst));
  Connection& connection = connections_[flow];
  const uint32_t payload = ip.total_length - ip.header_size - tcp.header_size;
  if (tcp.has(netstack::kTcpSyn)) connection.ack = tcp.seq;
  WEIR_CHECK(tcp.seq == connection.ack || payload == 0);  // in order, and nothing twice
  connection.ack += payload + tcp.has(netstack::kTcpSyn) + tcp.has(netstack::kTcpFin);
  received_ += payload;
  if (tcp.has(netstack::kTcpSyn)) {
    connection.established = true;
    ++established_;
  }
  closed_ += tcp.has(netstack::kTcpFin) && connection.fin_sent;
}

}  // namespace weir::bench
