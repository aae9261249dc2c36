// lwIP as Debian packages it, fed with Ethernet frames in memory: what weir's own stack is compared with.
//
//   LwipHost host({2, 0, 0, 0, 0, 1}, 0x0a000001);
//   LwipUdpSink sink(host, 7);              // lwip_udp.h; LwipTcpServer is in lwip_tcp.h
//   host.Receive(burst);                    // all of the burst through Ethernet, IP and UDP to the sink
//
// Debian builds lwIP with an OS layer. Here it runs without its thread (lwip_init in the place of tcpip_init): then the
// caller's thread is the only one, no frame goes through a mailbox, no core lock is taken, and the check for one is a
// comparison. Frames go to netif->input in place, in custom pbufs, so that lwIP neither allocates nor copies for them.
// That is the fastest way into this build. What it keeps is its protection of pbuf reference counts, a mutex that
// nobody else wants. It verifies all checksums, as lwIP does unless told otherwise. Its timers do not run.
#ifndef BENCH_PEERS_LWIP_HOST_H_
#define BENCH_PEERS_LWIP_HOST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

struct netif;
struct pbuf_custom;

namespace weir::bench {

// One interface with one IPv4 address. lwIP is global: one host a process, and it stays until the process ends.
class LwipHost {
 public:
  // Frames of one burst at most.
  static constexpr size_t kBurst = 64;

  // `ip` and `gateway` (0: none): host order.
  LwipHost(const std::array<uint8_t, 6>& mac, uint32_t ip, uint32_t gateway = 0);
  LwipHost(const LwipHost&) = delete;
  ~LwipHost();

  // Up to kBurst frames at their Ethernet headers; lwIP is done with them when this returns unless a callback kept one.
  void Receive(std::span<const std::span<std::byte>> burst);

  // Called for each frame that lwIP sends, with its bytes as far as they lie in one piece: the headers at least.
  void set_on_sent(std::function<void(std::span<const std::byte>)> on_sent) { on_sent_ = std::move(on_sent); }

 private:
  friend struct LwipDriver;

  std::function<void(std::span<const std::byte>)> on_sent_;
  std::unique_ptr<netif> netif_;
  std::vector<pbuf_custom> pbufs_;  // one a frame of the burst
};

}  // namespace weir::bench

#endif  // BENCH_PEERS_LWIP_HOST_H_
