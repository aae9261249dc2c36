#include "netstack/ip/ip_packet.h"

#include <algorithm>
#include <cstring>

namespace weir::netstack {

std::optional<std::span<runtime::Frame* const>> TrimFrames(runtime::Frame& frame, std::span<runtime::Frame* const> more,
                                                           uint32_t n) {
  if (frame.len + BytesIn(more) < n) return std::nullopt;
  frame.Trim(n);
  n -= frame.len;
  size_t used = 0;
  while (n > 0) {
    more[used]->Trim(n);
    n -= more[used++]->len;
  }
  return more.first(used);
}

void AlignFrames(runtime::Frame& frame, std::span<runtime::Frame* const> more) {
  runtime::Frame* at = &frame;
  for (runtime::Frame* next : more) {
    const uint32_t odd = at->len % 8;
    at->len -= odd;
    std::memcpy(next->Push(odd), at->data + at->len, odd);
    at = next;
  }
}

}  // namespace weir::netstack
