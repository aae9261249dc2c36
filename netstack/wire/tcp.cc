#include "netstack/wire/tcp.h"

#include <algorithm>
#include <cstring>

namespace weir::netstack {

void TcpOptions::ParseAny(std::span<const std::byte> options) {
  size_t at = 0;
  while (at < options.size()) {
    const std::byte* p = &options[at];
    const uint8_t kind = runtime::LoadU8(p);
    if (kind == kEnd) return;
    if (kind == kNop) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return;
    const uint8_t length = runtime::LoadU8(p + 1);
    if (length < 2 || at + length > options.size()) return;
    if (kind == kMss && length == 4) {
      has_mss = true;
      mss = runtime::LoadBe16(p + 2);
    } else if (kind == kWindowScale && length == 3) {
      has_window_scale = true;
      window_scale = std::min(runtime::LoadU8(p + 2), kMaxWindowScale);
    } else if (kind == kSackPermitted && length == 2) {
      sack_permitted = true;
    } else if (kind == kTimestamps && length == 10) {
      has_timestamps = true;
      ts_val = runtime::LoadBe32(p + 2);
      ts_ecr = runtime::LoadBe32(p + 6);
    } else if (kind == kSack && length > 2 && (length - 2) % 8 == 0) {
      sack = p + 2;
      sack_blocks = static_cast<uint8_t>((length - 2) / 8);  // at most 4: 40 bytes hold no more
    } else if (kind == kFastOpen && length % 2 == 0 &&
               (length == 2 || (length >= 2 + kMinCookie && length <= 2 + kMaxCookie))) {
      has_fast_open = true;
      cookie = p + 2;
      cookie_size = static_cast<uint8_t>(length - 2);
    }
    at += length;
  }
}

size_t TcpOptions::Emit(std::byte* p) const {
  size_t size = 0;
  if (has_mss) {
    runtime::StoreBe16(p, kMss << 8 | 4);
    runtime::StoreBe16(p + 2, mss);
    size += 4;
  }
  // SACK-permitted takes the place of the NOPs that align what comes next (tcp_options_write).
  constexpr uint32_t kPermitted = kSackPermitted << 24 | 2 << 16;
  if (has_timestamps) {
    runtime::StoreBe32(p + size, sack_permitted ? kPermitted | kTimestamps << 8 | 10 : kAlignedTimestamps);
    runtime::StoreBe32(p + size + 4, ts_val);
    runtime::StoreBe32(p + size + 8, ts_ecr);
    size += kTimestampsSize;
  } else if (sack_permitted) {
    runtime::StoreBe32(p + size, kNop << 24 | kNop << 16 | kSackPermitted << 8 | 2);
    size += 4;
  }
  if (has_window_scale) {
    runtime::StoreBe32(p + size, uint32_t{kNop} << 24 | kWindowScale << 16 | 3 << 8 | window_scale);
    size += 4;
  }
  if (const size_t padded = (2 + size_t{cookie_size} + 3) / 4 * 4; has_fast_open && size + padded <= kMaxSize) {
    std::memset(p + size, kNop, padded);
    runtime::StoreBe16(p + size, static_cast<uint16_t>(kFastOpen << 8 | (2 + cookie_size)));
    if (cookie_size > 0) std::memcpy(p + size + 2, cookie, cookie_size);
    size += padded;
  }
  if (sack_blocks > 0 && size + 12 <= kMaxSize) {
    const size_t blocks = std::min<size_t>(sack_blocks, (kMaxSize - 4 - size) / 8);
    runtime::StoreBe32(p + size, static_cast<uint32_t>(kNop << 24 | kNop << 16 | kSack << 8 | (2 + 8 * blocks)));
    std::memcpy(p + size + 4, sack, 8 * blocks);
    size += 4 + 8 * blocks;
  }
  return size;
}

}  // namespace weir::netstack
