// IpAddress and Endpoint: an IPv4 or IPv6 address, and one with a port. Both families share one 16-byte form
// (IPv4 as the IPv4-mapped ::ffff:a.b.c.d of RFC 4291 §2.5.5.2), so tables are keyed on one type.
#ifndef RUNTIME_BASE_IP_ADDRESS_H_
#define RUNTIME_BASE_IP_ADDRESS_H_

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

class IpAddress {
 public:
  // The IPv6 unspecified address "::", which also stands for "any address" of both families.
  constexpr IpAddress() = default;

  // `host_order`: 10.0.0.2 is 0x0a000002.
  static constexpr IpAddress V4(uint32_t host_order) {
    IpAddress address;
    address.bytes_[10] = address.bytes_[11] = 0xff;
    for (int i = 0; i < 4; ++i) address.bytes_[12 + i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
    return address;
  }
  static constexpr IpAddress V6(const std::array<uint8_t, 16>& bytes) {
    IpAddress address;
    address.bytes_ = bytes;
    return address;
  }
  // "10.0.0.2" or "fe80::1"; kInvalidArgument otherwise.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);

  constexpr bool is_v4() const {
    const std::array<uint64_t, 2> w = words();
    return w[0] == 0 && (w[1] & kV4PrefixMask) == kV4Prefix;
  }
  // Host order; only for is_v4().
  constexpr uint32_t v4() const {
    return uint32_t{bytes_[12]} << 24 | uint32_t{bytes_[13]} << 16 | uint32_t{bytes_[14]} << 8 | bytes_[15];
  }
  constexpr const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // 0.0.0.0 or ::
  constexpr bool is_any() const { return *this == IpAddress() || *this == V4(0); }
  // 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 §2.7).
  constexpr bool is_multicast() const { return is_v4() ? bytes_[12] >> 4 == 0xe : bytes_[0] == 0xff; }
  // 127.0.0.0/8 or ::1.
  constexpr bool is_loopback() const {
    if (is_v4()) return bytes_[12] == 127;
    return *this == V6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  }
  // 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 §2.5.6).
  constexpr bool is_link_local() const {
    if (is_v4()) return bytes_[12] == 169 && bytes_[13] == 254;
    return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
  }
  // The two halves as numbers, in the machine's byte order, for hashing and masks.
  constexpr std::array<uint64_t, 2> words() const { return std::bit_cast<std::array<uint64_t, 2>>(bytes_); }
  // What of it the first `length` bits of its family say; the others are 0.
  constexpr IpAddress Masked(int length) const;

  std::string ToString() const;

  friend constexpr bool operator==(const IpAddress&, const IpAddress&) = default;
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  static constexpr std::array<uint8_t, 16> kV4MappedMask{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
  static constexpr std::array<uint8_t, 16> kV4Mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static constexpr uint64_t kV4PrefixMask = std::bit_cast<std::array<uint64_t, 2>>(kV4MappedMask)[1];
  static constexpr uint64_t kV4Prefix = std::bit_cast<std::array<uint64_t, 2>>(kV4Mapped)[1];

  alignas(8) std::array<uint8_t, 16> bytes_{};
};

constexpr IpAddress IpAddress::Masked(int length) const {
  const int bits = length + (is_v4() ? 96 : 0);
  // The first `n` bits of eight bytes, as they lie in memory.
  const auto mask = [](int n) -> uint64_t {
    const uint64_t host_order = n <= 0 ? 0 : n >= 64 ? ~uint64_t{0} : ~uint64_t{0} << (64 - n);
    return std::endian::native == std::endian::little ? __builtin_bswap64(host_order) : host_order;
  };
  const std::array<uint64_t, 2> w = words();
  return V6(std::bit_cast<std::array<uint8_t, 16>>(std::array{w[0] & mask(bits), w[1] & mask(bits - 64)}));
}

struct Endpoint {
  IpAddress ip;
  uint16_t port = 0;  // host order
  // The interface of a link-local IPv6 address, as sin6_scope_id: `if_nametoindex` of it; 0: none, or not said.
  uint32_t scope_id = 0;

  // "10.0.0.2:80", "[fe80::1]:80", "[fe80::1%eth0]:80", ":80" (any address) or "80".
  static absl::StatusOr<Endpoint> Parse(absl::string_view text);
  std::string ToString() const;

  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
};

// An address with a prefix length, as in --address=10.0.0.2/24.
struct IpPrefix {
  IpAddress ip;
  int length = 32;  // of the family: at most 32 or 128

  static absl::StatusOr<IpPrefix> Parse(absl::string_view text);
  bool Contains(const IpAddress& other) const;
  // The network's own address: the bits behind the prefix are 0.
  IpAddress network() const { return ip.Masked(length); }
  // Whether `other` is the directed broadcast address of an IPv4 prefix, which a /31 (RFC 3021) and a /32 do not have.
  bool IsBroadcast(const IpAddress& other) const;
  std::string ToString() const;

  friend constexpr bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace weir

#endif  // RUNTIME_BASE_IP_ADDRESS_H_
