#include "netstack/udp/udp_error.h"

namespace weir::netstack {

DropReason UdpErr(UdpTable& table, const TransportError& error, Nanos now_ns) {
  UdpSock* sock = table.Lookup(error.local(), error.remote());
  if (sock == nullptr) return DropReason::kIcmpNoSocket;
  return UdpErrTo(table, *sock, /*connected=*/sock->remote.port != 0, error, now_ns);
}

DropReason UdpErrTo(UdpTable& table, UdpSock& sock, bool connected, const TransportError& error, Nanos now_ns) {
  if (error.too_big && !LowerPathMtu(table.ip(), error, now_ns)) return DropReason::kIcmpIgnored;
  // RFC 1122 §4.2.3.9 says it of TCP, Linux of both: soft errors pass. Whoever asked for all of them (IP_RECVERR) is
  // told of soft ones too, and of those of peers that it is not connected to.
  const bool told = sock.recverr || (connected && (error.hard || error.too_big));
  if (!told) return error.too_big ? DropReason::kConsumed : DropReason::kIcmpIgnored;
  sock.receive_queue.error = error.error;
  table.ip().Ready(sock, ReadySock::kError);
  return DropReason::kConsumed;
}

}  // namespace weir::netstack
