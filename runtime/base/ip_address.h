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
    address.words_ = {0, uint64_t{__builtin_bswap32(host_order)} << 32 | kMappedMark};
    return address;
  }
  static constexpr IpAddress V6(const std::array<uint8_t, 16>& bytes) {
    IpAddress address;
    address.words_ = std::bit_cast<std::array<uint64_t, 2>>(bytes);
    return address;
  }
  // "10.0.0.2" or "fe80::1"; kInvalidArgument otherwise.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);

  // Every packet passes through these: numbers, not loops over bytes.
  constexpr bool is_v4() const {
    return words_[0] == 0 && static_cast<uint32_t>(words_[1]) == kMappedMark;
  }
  // Host order; only for is_v4().
  constexpr uint32_t v4() const { return __builtin_bswap32(static_cast<uint32_t>(words_[1] >> 32)); }
  // As on the wire.
  constexpr std::array<uint8_t, 16> bytes() const { return std::bit_cast<std::array<uint8_t, 16>>(words_); }
  // 0.0.0.0 or ::
  constexpr bool is_any() const { return *this == IpAddress() || *this == V4(0); }
  // 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 §2.7).
  constexpr bool is_multicast() const { return is_v4() ? v4() >> 28 == 0xe : bytes()[0] == 0xff; }
  // 127.0.0.0/8 or ::1.
  constexpr bool is_loopback() const {
    if (is_v4()) return v4() >> 24 == 127;
    return *this == V6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  }
  // 169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 §2.5.6).
  constexpr bool is_link_local() const {
    if (is_v4()) return v4() >> 16 == 0xa9fe;
    return bytes()[0] == 0xfe && (bytes()[1] & 0xc0) == 0x80;
  }
  // The two halves as numbers, in the machine's byte order, for hashing and masks.
  constexpr const std::array<uint64_t, 2>& words() const { return words_; }
  // What of it the first `length` bits of its family say; the others are 0.
  constexpr IpAddress Masked(int length) const;

  std::string ToString() const;

  // The half that differs first: that of an IPv4 address, or of two hosts of a network.
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) {
    return a.words_[1] == b.words_[1] && a.words_[0] == b.words_[0];
  }
  friend constexpr auto operator<=>(const IpAddress& a, const IpAddress& b) { return a.bytes() <=> b.bytes(); }

 private:
  // Bytes 8 to 11 of an IPv4-mapped address, as they lie in memory.
  static constexpr uint32_t kMappedMark = std::bit_cast<uint32_t>(std::array<uint8_t, 4>{0, 0, 0xff, 0xff});

  // The bytes as they lie on the wire, as two numbers: with an array of bytes in it, every function that has an address
  // on its stack would get a stack protector's check (-fstack-protector).
  std::array<uint64_t, 2> words_{};
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
  constexpr bool Contains(const IpAddress& other) const {
    if (ip.is_v4() != other.is_v4()) return false;
    const std::array<uint64_t, 2> ours = ip.words(), theirs = other.words();
    const int bits = length + (ip.is_v4() ? 96 : 0);
    const uint64_t first = __builtin_bswap64(ours[0] ^ theirs[0]), second = __builtin_bswap64(ours[1] ^ theirs[1]);
    if (bits <= 64) return bits == 0 || first >> (64 - bits) == 0;
    return first == 0 && second >> (128 - bits) == 0;
  }
  // The network's own address: the bits behind the prefix are 0.
  IpAddress network() const { return ip.Masked(length); }
  // An IPv4 prefix has a directed broadcast address, but for a /31 (RFC 3021) and a /32. Host order.
  constexpr bool has_broadcast() const { return ip.is_v4() && length < 31; }
  constexpr uint32_t broadcast() const { return ip.v4() | 0xffffffffu >> length; }
  constexpr bool IsBroadcast(const IpAddress& other) const {
    return has_broadcast() && other.is_v4() && other.v4() == broadcast();
  }
  std::string ToString() const;

  friend constexpr bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

}  // namespace weir

#endif  // RUNTIME_BASE_IP_ADDRESS_H_
