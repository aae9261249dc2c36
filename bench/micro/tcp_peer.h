// TcpPeer: the other end of many TCP connections, for benchmarks of a stack in memory. It writes the frames that a client
// in order would send, headers and checksums included, and follows what the stack under test answers; it never sends
// anything twice, for nothing gets lost. What it costs is outside of what is measured.
#ifndef BENCH_MICRO_TCP_PEER_H_
#define BENCH_MICRO_TCP_PEER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weir::bench {

class TcpPeer {
 public:
  // Ethernet, IPv4 and TCP headers, without and with the options of the SYN.
  static constexpr size_t kHeaders = 14 + 20 + 20;
  static constexpr size_t kSynOptions = 8;
  static constexpr uint16_t kServerPort = 80;
  static constexpr size_t kMaxFrame = 1514;

  explicit TcpPeer(size_t connections) : connections_(connections) {}

  size_t size() const { return connections_.size(); }
  uint64_t received() const { return received_; }  // bytes of payload
  size_t established() const { return established_; }
  size_t closed() const { return closed_; }  // by both sides
  // After all have closed, the same connections again from other ports.
  void StartOver();

  // Each writes a frame at `at` and returns its size. What is payload in it has to lie there already.
  size_t Syn(size_t i, std::byte* at);
  size_t Ack(size_t i, std::byte* at);
  size_t Data(size_t i, std::byte* at, size_t payload);
  size_t Fin(size_t i, std::byte* at);
  size_t Rst(size_t i, std::byte* at);
  // An ARP request for the stack's address, so that it knows ours.
  static size_t Arp(std::byte* at);

  // A frame that the stack sent: its headers at least.
  void OnFrame(std::span<const std::byte> frame);

 private:
  struct Connection {
    uint32_t seq = 0;  // of what is sent next
    uint32_t ack = 0;  // of what was received
    bool established = false;
    bool fin_sent = false;
  };

  size_t Write(size_t i, std::byte* at, uint8_t flags, size_t payload);

  std::vector<Connection> connections_;
  uint32_t round_ = 0;
  uint64_t received_ = 0;
  size_t established_ = 0;
  size_t closed_ = 0;
};

}  // namespace weir::bench

#endif  // BENCH_MICRO_TCP_PEER_H_
