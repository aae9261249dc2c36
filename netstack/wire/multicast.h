// What IGMPv3 (RFC 3376 §4) and MLDv2 (RFC 3810 §5) have in common: the codes for times, source lists, and reports,
// which differ only in their type and in the size of an address.
#ifndef NETSTACK_WIRE_MULTICAST_H_
#define NETSTACK_WIRE_MULTICAST_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "runtime/base/ip_address.h"

namespace weir::netstack {

// RFC 3376 §4.2.12, RFC 3810 §5.2.12.
enum class MulticastRecordType : uint8_t {
  kModeIsInclude = 1,
  kModeIsExclude = 2,
  kChangeToIncludeMode = 3,
  kChangeToExcludeMode = 4,
  kAllowNewSources = 5,
  kBlockOldSources = 6,
};

// A code of a three-bit exponent and `mantissa_bits` of mantissa below the top bit; without the top bit it is the
// value itself. Four bits: RFC 3376 §4.1.1 and §4.1.7; twelve: RFC 3810 §5.1.3.
constexpr uint32_t DecodeMulticastCode(uint32_t code, int mantissa_bits) {
  const uint32_t implied = uint32_t{1} << mantissa_bits;
  if (code < implied << 3) return code;
  return (implied | (code & (implied - 1))) << ((code >> mantissa_bits & 7) + 3);
}

// The source list of a query; a view of the message.
class MulticastSources {
 public:
  MulticastSources() = default;
  // `address_size` is 4 or 16, and `bytes` a multiple of it.
  MulticastSources(std::span<const std::byte> bytes, size_t address_size)
      : bytes_(bytes), address_size_(address_size) {}

  size_t size() const { return bytes_.size() / address_size_; }
  bool empty() const { return bytes_.empty(); }
  IpAddress operator[](size_t i) const;

 private:
  std::span<const std::byte> bytes_;
  size_t address_size_ = 4;
};

// What a query of either protocol says, but for the version and the group.
struct MulticastQueryFields {
  uint32_t max_response_ms = 0;  // 0: at once
  bool suppress = false;         // S: only for routers
  uint8_t robustness = 0;        // QRV; 0: not said, as in the versions before
  uint32_t query_interval_s = 0;
  MulticastSources sources;  // of a query for a group and sources; a view of the message

  // Takes what stands behind the group in IGMPv3 (RFC 3376 §4.1) and MLDv2 (RFC 3810 §5.1), at least kRest bytes. False
  // when there are fewer sources than it says.
  bool ParseRest(std::span<const std::byte> rest, size_t address_size);

  static constexpr size_t kRest = 4;
};

// Writes a report into memory of the caller, as large as one packet may be: RFC 3376 §4.2.16 wants reports that are
// too long split.
class MulticastReportWriter {
 public:
  // `out` has at least kHeader bytes.
  MulticastReportWriter(std::span<std::byte> out, uint8_t type, size_t address_size);

  // Appends a group record with as many of `sources` as there is room for, and returns how many. Nothing is written,
  // and nullopt returned, when there is no room for the record or for any of its sources. What is left of a list goes
  // into another record, perhaps of the next report, but for the EXCLUDE types, of which the rest is left out
  // (RFC 3376 §4.2.16).
  std::optional<size_t> Add(MulticastRecordType type, const IpAddress& group, std::span<const IpAddress> sources);

  bool empty() const { return records_ == 0; }
  // Writes the number of records and returns the size of the message; its checksum is zero.
  size_t Finish();

  static constexpr size_t kHeader = 8;

 private:
  size_t room() const { return out_.size() - size_; }
  void Append(const IpAddress& address);

  const std::span<std::byte> out_;
  const size_t address_size_;
  size_t size_ = kHeader;
  uint16_t records_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_MULTICAST_H_
