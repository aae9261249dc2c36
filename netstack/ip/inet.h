// Inet: the whole stack of one shard above its link, without coroutines: every function is (packet, now).
//
// A frame's way in, by direct calls: EthernetRcv (netstack/link) -> IpRcv -> IpRcvFinish -> IpLocalDeliver ->
// TcpRcv, UdpRcv or IcmpRcv. The way out: TcpTransmit, UdpSendmsg or IcmpRcv -> IpOutput -> NeighbourOutput ->
// LinkOutput -> the device's queue, which the link flushes once a turn.
#ifndef NETSTACK_IP_INET_H_
#define NETSTACK_IP_INET_H_

#include "netstack/ip/ip_context.h"
#include "netstack/tcp/tcp_context.h"
#include "netstack/udp/udp_table.h"

namespace weir::netstack {

struct Inet {
  Inet(const IpOptions& ip_options, const TcpSettings& tcp_options, runtime::FramePool& pool,
       runtime::TimerWheel& timers)
      : ip(ip_options, pool, timers), udp(ip), ping(ip, PortSpace::kPing), tcp(ip, tcp_options) {}

  // Before there are sockets; `others` stays longer than this.
  void SetPeers(PeerShards* others) {
    ip.peers = others;
    tcp.demux.set_peers(others);
    tcp.time_wait.set_peers(others);
  }

  IpContext ip;
  UdpTable udp;
  UdpTable ping;  // netstack/udp/ping.h
  TcpContext tcp;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_INET_H_
