// Loads and stores of big-endian (network order) numbers at any alignment. Headers are read where they lie
// in a frame, so no pointer is ever cast to a struct.
#ifndef RUNTIME_BASE_BYTE_ORDER_H_
#define RUNTIME_BASE_BYTE_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace weir::runtime {

inline uint16_t LoadBe16(const std::byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap16(v);
}
inline uint32_t LoadBe32(const std::byte* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}
inline void StoreBe16(std::byte* p, uint16_t v) {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, sizeof v);
}
inline void StoreBe32(std::byte* p, uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}
inline uint8_t LoadU8(const std::byte* p) { return std::to_integer<uint8_t>(*p); }

}  // namespace weir::runtime

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weir runs on little-endian machines");

#endif  // RUNTIME_BASE_BYTE_ORDER_H_
