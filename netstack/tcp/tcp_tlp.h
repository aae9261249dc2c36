// Tail loss probes (RFC 8985 §7): when the end of a flight is lost no later segment tells of it, so after two round
// trips without an ACK something is sent that makes the peer answer, long before the retransmission timer. Needs SACK.
// Linux: tcp_schedule_loss_probe, tcp_send_loss_probe, tcp_process_tlp_ack.
#ifndef NETSTACK_TCP_TCP_TLP_H_
#define NETSTACK_TCP_TCP_TLP_H_

#include "netstack/tcp/tcp_ack_state.h"
#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// RFC 8985 §7.2. Arms the timer for a probe, in the place of the retransmission timer, and returns true; false when
// there is to be none. `restart`: an ACK came, and the retransmission timeout counts from now.
bool TcpScheduleLossProbe(TcpSock& sock, bool restart, Nanos now_ns);

// §7.3: the timer expired: sends new data, else the last segment again.
void TcpSendLossProbe(TcpSock& sock, Nanos now_ns);

// §7.4: what an ACK says about the probe; when it repaired a loss nobody else will notice it, and the window comes
// down.
void TcpProcessTlpAck(TcpSock& sock, const TcpAckState& ack);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_TLP_H_
