// lwIP as Debian packages it, fed with Ethernet frames in memory: what weir's own stack is compared with.
//
//   LwipHost host({2, 0, 0, 0, 0, 1}, 0x0a000001);
//   LwipUdpSink sink(host, 7);
//   host.Receive(burst);                    // all of the burst through Ethernet, IP and UDP to the sink
//
// Debian builds lwIP with an OS layer. Here it runs without its thread (lwip_init in the place of tcpip_init): then the
// caller's thread is the only one, no frame goes through a mailbox, no core lock is taken, and the check for one is a
// comparison. Frames go to netif->input in place, in custom pbufs, so that lwIP neither allocates nor copies for them.
// That is the fastest way into this build. What it keeps is its protection of pbuf reference counts, a mutex that
// nobody else wants. It verifies IP and UDP checksums, as lwIP does unless told otherwise.
#ifndef BENCH_PEERS_LWIP_UDP_H_
#define BENCH_PEERS_LWIP_UDP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct netif;
struct pbuf_custom;
struct udp_pcb;

namespace weir::bench {

// One interface with one IPv4 address. lwIP is global: one host a process, and it stays until the process ends.
class LwipHost {
 public:
  // Frames of one burst at most.
  static constexpr size_t kBurst = 64;

  // `ip`: host order.
  LwipHost(const std::array<uint8_t, 6>& mac, uint32_t ip);
  LwipHost(const LwipHost&) = delete;
  ~LwipHost();

  // Up to kBurst frames at their Ethernet headers; lwIP is done with them when this returns unless a callback kept one.
  void Receive(std::span<const std::span<std::byte>> burst);

 private:
  std::unique_ptr<netif> netif_;
  std::vector<pbuf_custom> pbufs_;  // one a frame of the burst
};

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
