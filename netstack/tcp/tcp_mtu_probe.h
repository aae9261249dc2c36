// Packetization layer path MTU discovery (RFC 4821): what a path takes is found out with segments of ordinary data, where
// no router says so, as ICMP (path_mtu.h) may be filtered away. A connection whose segments are lost again and again takes
// the path for a black hole and comes down to tcp_base_mss, and lower; from there probes, larger segments, lead up again.
// Linux: tcp_mtu_probe, tcp_mtu_probing.
#ifndef NETSTACK_TCP_TCP_MTU_PROBE_H_
#define NETSTACK_TCP_TCP_MTU_PROBE_H_

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_sock.h"
#include "runtime/base/recycler.h"

namespace weir::netstack {

// RFC 4821 §7.1, in bytes of IP packets. A connection has one from its first black hole on, or, with tcp_mtu_probing=2,
// from the beginning.
struct TcpMtuProbe : runtime::Recycled {
  uint32_t search_low = 0;   // passes, as far as is known: what is sent is no larger
  uint32_t search_high = 0;  // may pass; nothing larger does
  uint32_t size = 0;         // of the probe that is under way; 0: none
  Seq start;                 // its data
  Seq end;
  Nanos since_ns = 0;     // when the range was as wide as it can be
  bool narrowed = false;  // a probe failed since then
};

// The handshake is done.
void TcpInitMtuProbe(TcpSock& sock, Nanos now_ns);
void TcpFreeMtuProbe(TcpSock& sock);

// The largest packet that is not a probe; UINT32_MAX: as large as the path seems to take.
uint32_t TcpMtuSearchLow(const TcpSock& sock);

// The retransmission timer has expired and that was counted. After R1 expiries (RFC 1122 §4.2.3.5) snd.mss comes down
// (RFC 4821 §7.7).
void TcpMtuBlackHole(TcpSock& sock, Nanos now_ns);

// Before new data is sent by a connection that has a TcpMtuProbe. kWait: a probe would go, but not before more is
// acknowledged; so nothing else shall go either.
enum class TcpMtuProbeSend : uint8_t { kNotNow, kSent, kWait };
TcpMtuProbeSend TcpSendMtuProbe(TcpSock& sock, Nanos now_ns);

// una has advanced.
void TcpMtuProbeAcked(TcpSock& sock);
// Something counts as lost in Open or Disorder: true when that is the probe, and nothing else. Then the window stays as
// it is (RFC 4821 §7.6.2).
bool TcpMtuProbeLost(TcpSock& sock);
// Whether what is under way as a probe is now known not to fit.
bool TcpMtuProbeTooBig(const TcpSock& sock);

// Something is sent again: whatever comes back says nothing about the probe (RFC 4821 §7.6.4).
inline void TcpMtuProbeInconclusive(TcpSock& sock) {
  if (sock.mtu_probe != nullptr) [[unlikely]] sock.mtu_probe->size = 0;
}

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_MTU_PROBE_H_
