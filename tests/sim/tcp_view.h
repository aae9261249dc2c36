// A TCP segment on the simulated link, read apart from netstack/wire, and the bytes that programs send.
#ifndef TESTS_SIM_TCP_VIEW_H_
#define TESTS_SIM_TCP_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/packets.h"

namespace weir::sim {

using testing_support::Bytes;
using testing_support::View;

inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
inline constexpr size_t kEthernet = 14;  // bytes of its header

// The EtherType of a frame.
inline uint16_t FrameType(View frame) { return testing_support::Get16(frame, 12); }
inline bool IsIp(View frame) { return FrameType(frame) == 0x0800 || FrameType(frame) == 0x86dd; }
// The protocol of an IP packet without extension headers, and where its header begins.
uint8_t IpProtocol(View frame);
size_t TransportOffset(View frame);

struct TcpView {
  uint16_t source_port = 0, destination_port = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  View options;
  View payload;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  // Sequence numbers it takes.
  uint32_t length() const { return static_cast<uint32_t>(payload.size()) + has(kSyn) + has(kFin); }
  // The window scale option; -1: none.
  int WindowScale() const;
};

// Nothing when it is no TCP segment. Whatever a stack sends has right lengths; checksums are the receiver's business.
std::optional<TcpView> ParseTcp(View frame);

// "A > B 40000 > 80 [SA] 123:123 ack 5 win 100 <02 04 ..>", or what else it is.
std::string FrameText(int from, View frame);

// Bytes `offset` to `offset + out.size()` of the stream with this key: all different from one another in each stream
// and each place.
void FillPattern(uint64_t key, uint64_t offset, std::span<std::byte> out);
bool IsPattern(uint64_t key, uint64_t offset, View bytes);

}  // namespace weir::sim

#endif  // TESTS_SIM_TCP_VIEW_H_
