#include "netstack/wire/tcp.h"

#include <algorithm>

namespace weir::netstack {

void TcpOptions::Parse(std::span<const std::byte> options) {
  size_t at = 0;
  while (at < options.size()) {
    const uint8_t kind = runtime::LoadU8(&options[at]);
    if (kind == kEnd) return;
    if (kind == kNop) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return;
    const uint8_t length = runtime::LoadU8(&options[at + 1]);
    if (length < 2 || at + length > options.size()) return;
    if (kind == kMss && length == 4) {
      has_mss = true;
      mss = runtime::LoadBe16(&options[at + 2]);
    } else if (kind == kWindowScale && length == 3) {
      has_window_scale = true;
      window_scale = std::min(runtime::LoadU8(&options[at + 2]), kMaxWindowScale);
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
  if (has_window_scale) {
    runtime::StoreBe32(p + size, uint32_t{kNop} << 24 | kWindowScale << 16 | 3 << 8 | window_scale);
    size += 4;
  }
  return size;
}

}  // namespace weir::netstack
