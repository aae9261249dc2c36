// Proportional Rate Reduction (RFC 6937): while the congestion window comes down, what may be sent follows what
// arrived, so that the flight is ssthresh at the end and the ACK clock never stops. Linux: tcp_cwnd_reduction.
#ifndef NETSTACK_TCP_TCP_PRR_H_
#define NETSTACK_TCP_TCP_PRR_H_

#include <algorithm>
#include <cstdint>

namespace weir::netstack {

class TcpPrr {
 public:
  // RFC 6937 §3: `flight` is RecoverFS, all that is outstanding when the reduction begins.
  void Start(uint32_t flight) {
    recover_fs_ = std::max(flight, 1u);
    delivered_ = out_ = 0;
  }
  void OnSent(uint32_t bytes) { out_ += bytes; }

  struct Ack {
    uint32_t delivered;  // DeliveredData
    uint32_t pipe;       // in flight now
    uint32_t ssthresh;
    uint32_t mss;
    // New data was acknowledged and nothing more found lost: the reduction may catch up by slow start (PRR-SSRB), else
    // only what arrived is replaced (PRR-CRB). Linux decides so for every ACK.
    bool good;
  };
  // The congestion window after an ACK.
  uint32_t OnAck(const Ack& ack) {
    delivered_ += ack.delivered;
    int64_t send = 0;
    if (ack.pipe > ack.ssthresh) {
      send = static_cast<int64_t>((uint64_t{delivered_} * ack.ssthresh + recover_fs_ - 1) / recover_fs_) - out_;
    } else {
      send = std::max<int64_t>(int64_t{delivered_} - out_, ack.delivered);
      if (ack.good) send += ack.mss;
      send = std::min<int64_t>(send, ack.ssthresh - ack.pipe);
    }
    // RFC 6937 §3: the first segment is sent again at once, whatever the sums say.
    send = std::max<int64_t>(send, out_ == 0 ? ack.mss : 0);
    return ack.pipe + static_cast<uint32_t>(send);
  }

 private:
  uint32_t recover_fs_ = 1;
  uint32_t delivered_ = 0;
  uint32_t out_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_PRR_H_
