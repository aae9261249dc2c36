// TcpAckState: what one acknowledgment did, gathered by the parts that take it in (TcpCleanSendQueue, TcpSackTag) for
// those that draw conclusions from it (tcp_rack.h, tcp_recovery.h, congestion control). Linux: the FLAG_ bits of
// tcp_ack, tcp_sacktag_state and rate_sample. Bytes count in sequence space, so a FIN is one.
#ifndef NETSTACK_TCP_TCP_ACK_STATE_H_
#define NETSTACK_TCP_TCP_ACK_STATE_H_

#include <cstdint>

#include "runtime/base/time.h"

namespace weir::netstack {

struct TcpAckState {
  Nanos now_ns = 0;
  uint32_t prior_in_flight = 0;
  uint32_t acked = 0;      // bytes that una advanced by
  uint32_t delivered = 0;  // bytes that are known to have arrived since the last ACK (RFC 6937 §2: DeliveredData)
  uint32_t delivered_packets = 0;
  uint32_t lost = 0;       // bytes newly taken for lost
  uint32_t ts_ecr = 0;     // echo of the segment, when has_echo
  bool has_echo = false;

  // Round trips of what was never sent twice: of the oldest and of the newest that was acknowledged, and of the first
  // that was SACKed; 0: none.
  Nanos first_rtt_ns = 0;
  Nanos last_rtt_ns = 0;
  Nanos sack_rtt_ns = 0;

  bool duplicate = false;       // RFC 5681 §2
  bool una_advanced = false;    // FLAG_SND_UNA_ADVANCED
  bool data_sacked = false;     // FLAG_DATA_SACKED
  bool retrans_acked = false;   // FLAG_RETRANS_DATA_ACKED: something sent twice was acknowledged
  bool orig_acked = false;      // FLAG_ORIG_SACK_ACKED: something below high_seq that was sent once was (S)ACKed
  bool dsack = false;           // FLAG_DSACKING_ACK
  bool dsack_of_probe = false;  // FLAG_DSACK_TLP
  bool reneging = false;        // FLAG_SACK_RENEGING
  bool ece = false;             // FLAG_ECE
  bool lost_retrans = false;    // FLAG_LOST_RETRANS: a retransmission was lost
  bool set_timer = false;       // FLAG_SET_XMIT_TIMER
  bool send_new = false;        // REXMIT_NEW: F-RTO wants new data to go out before anything is sent again
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_ACK_STATE_H_
