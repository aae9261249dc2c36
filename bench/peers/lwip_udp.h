// A UDP socket on lwIP, for udp_benchmark.
#ifndef BENCH_PEERS_LWIP_UDP_H_
#define BENCH_PEERS_LWIP_UDP_H_

#include "bench/peers/lwip_host.h"

struct udp_pcb;

namespace weir::bench {

// A UDP socket that takes what comes, counts it and frees it, in lwIP's own (raw) callback.
class LwipUdpSink {
 public:
  LwipUdpSink(LwipHost& host, uint16_t port);
  LwipUdpSink(const LwipUdpSink&) = delete;
  ~LwipUdpSink();

  uint64_t datagrams() const { return datagrams_; }
  uint64_t bytes() const { return bytes_; }

 private:
  udp_pcb* pcb_;
  uint64_t datagrams_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace weir::bench

#endif  // BENCH_PEERS_LWIP_UDP_H_
