// A TCP server on lwIP, for tcp_benchmark.
#ifndef BENCH_PEERS_LWIP_TCP_H_
#define BENCH_PEERS_LWIP_TCP_H_

#include "bench/peers/lwip_host.h"

struct tcp_pcb;

namespace weir::bench {

// In lwIP's own (raw) callbacks: counts what connections send and lets go of it, or sends it back; closes after the
// peer's FIN.
class LwipTcpServer {
 public:
  LwipTcpServer(LwipHost& host, uint16_t port, bool echo);
  LwipTcpServer(const LwipTcpServer&) = delete;
  ~LwipTcpServer();

  uint64_t bytes() const { return bytes_; }
  uint64_t closed() const { return closed_; }

 private:
  friend struct LwipTcpCallbacks;

  tcp_pcb* listener_;
  bool echo_;
  uint64_t bytes_ = 0;
  uint64_t closed_ = 0;
};

}  // namespace weir::bench

#endif  // BENCH_PEERS_LWIP_TCP_H_
