// The UDP header (RFC 768).
#ifndef NETSTACK_WIRE_UDP_H_
#define NETSTACK_WIRE_UDP_H_

#include <cstddef>
#include <cstdint>

#include "runtime/base/byte_order.h"

namespace weir::netstack {

struct UdpHeader {
  static constexpr size_t kSize = 8;
  static constexpr size_t kDestinationPortOffset = 2;
  static constexpr size_t kLengthOffset = 4;
  static constexpr size_t kChecksumOffset = 6;

  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint16_t length = 0;  // header and data

  void Parse(const std::byte* p) {
    source_port = runtime::LoadBe16(p);
    destination_port = runtime::LoadBe16(p + 2);
    length = runtime::LoadBe16(p + 4);
  }
  // The checksum field is left zero.
  void Emit(std::byte* p) const {
    runtime::StoreBe16(p, source_port);
    runtime::StoreBe16(p + 2, destination_port);
    runtime::StoreBe16(p + 4, length);
    runtime::StoreBe16(p + 6, 0);
  }
};

}  // namespace weir::netstack

#endif  // NETSTACK_WIRE_UDP_H_
