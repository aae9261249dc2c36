// IGMP messages as a host sends and receives them: version 3 (RFC 3376 §4), and for older routers version 2
// (RFC 2236 §2) and 1 (RFC 1112, appendix I). They travel with TTL 1 and the Router Alert option.
#ifndef NETSTACK_WIRE_IGMP_H_
#define NETSTACK_WIRE_IGMP_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "netstack/wire/multicast.h"

namespace weir::netstack {

inline constexpr uint8_t kProtocolIgmp = 2;

inline constexpr uint8_t kIgmpQuery = 0x11;
inline constexpr uint8_t kIgmpV1Report = 0x12;
inline constexpr uint8_t kIgmpV2Report = 0x16;
inline constexpr uint8_t kIgmpV2Leave = 0x17;
inline constexpr uint8_t kIgmpV3Report = 0x22;

inline constexpr size_t kIgmpChecksumOffset = 2;

struct IgmpQuery : MulticastQueryFields {
  uint8_t version = 3;
  uint32_t group = 0;  // host order; 0 in a general query

  // Takes the whole message, whose checksum the caller has verified. False when it is no query or must be ignored
  // (RFC 3376 §7.1: by its length), or has fewer sources than it says.
  bool Parse(std::span<const std::byte> message);
};

// Reports and leaves of versions 1 and 2.
struct IgmpMessage {
  static constexpr size_t kSize = 8;

  uint8_t type = kIgmpV2Report;
  uint32_t group = 0;  // host order

  // Takes the whole message, whose checksum the caller has verified. False when it is none of these three.
  bool Parse(std::span<const std::byte> message);
  // Writes kSize bytes with their checksum.
  void Emit(std::byte* p) const;
};

// RFC 3376 §4.2.
class IgmpV3ReportWriter : public MulticastReportWriter {
 public:
  explicit IgmpV3ReportWriter(std::span<std::byte> out) : MulticastReportWriter(out, kIgmpV3Report, 4), out_(out) {}

  // Also writes the checksum.
  size_t Finish();

 private:
  const std::span<std::byte> out_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_IGMP_H_
