// The values of setsockopt(2) and getsockopt(2), with the rules of length that each level of Linux has.
#ifndef TESTS_INTEROP_OPTION_VALUE_H_
#define TESTS_INTEROP_OPTION_VALUE_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace weir::interop {

// What getsockopt(2) gives.
struct OptionValue {
  static constexpr size_t kMax = 512;  // struct tcp_info is shorter

  std::array<std::byte, kMax> bytes{};
  size_t length = 0;

  // As much of `value` as the caller has room for.
  template <typename T>
  int Put(const T& value, int room) {
    static_assert(sizeof value <= kMax);
    return PutBytes(std::as_bytes(std::span(&value, 1)), room);
  }
  int PutBytes(std::span<const std::byte> value, int room) {
    if (room < 0) return -EINVAL;
    length = std::min(value.size(), static_cast<size_t>(room));
    std::copy_n(value.begin(), length, bytes.begin());
    return 0;
  }
  // Of IPPROTO_IP: one byte where there is no room for four (do_ip_getsockopt).
  int PutIp(int value, int room) {
    if (room < 0) return -EINVAL;
    if (room > 0 && room < static_cast<int>(sizeof value) && value >= 0 && value <= 255) {
      return Put(static_cast<uint8_t>(value), room > 0 ? 1 : 0);
    }
    return Put(value, room);
  }
};

// An int, of SOL_SOCKET, IPPROTO_TCP and IPPROTO_IPV6. False: too short.
inline bool ReadInt(std::span<const std::byte> value, int* number) {
  if (value.size() < sizeof *number) return false;
  std::memcpy(number, value.data(), sizeof *number);
  return true;
}
// Of IPPROTO_IP: a byte does, and nothing is 0 (do_ip_setsockopt).
inline int ReadIpInt(std::span<const std::byte> value) {
  int number = 0;
  if (!ReadInt(value, &number) && !value.empty()) number = std::to_integer<int>(value.front());
  return number;
}
template <typename T>
bool ReadStruct(std::span<const std::byte> value, T* to) {
  if (value.size() < sizeof *to) return false;
  std::memcpy(to, value.data(), sizeof *to);
  return true;
}

}  // namespace weir::interop

#endif  // TESTS_INTEROP_OPTION_VALUE_H_
