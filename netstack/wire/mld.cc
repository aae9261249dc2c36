#include "netstack/wire/mld.h"

#include "netstack/wire/ipv6.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe16, runtime::LoadU8;

constexpr size_t kGroupOffset = 8;
constexpr size_t kV1Query = 24;
constexpr size_t kV2Query = kV1Query + MulticastQueryFields::kRest;

}  // namespace

bool MldQuery::Parse(std::span<const std::byte> message) {
  if (message.size() < kV1Query || LoadU8(&message[0]) != kIcmp6MldQuery) return false;
  const uint16_t code = LoadBe16(&message[4]);
  group = LoadIpv6Address(&message[kGroupOffset]);
  if (message.size() == kV1Query) {  // RFC 3810 §8.1
    version = 1;
    max_response_ms = code;
    return true;
  }
  if (message.size() < kV2Query) return false;
  version = 2;
  max_response_ms = DecodeMulticastCode(code, 12);
  return ParseRest(message.subspan(kV1Query), 16);
}

bool MldV1Message::Parse(std::span<const std::byte> message) {
  if (message.size() < kSize) return false;
  type = LoadU8(&message[0]);
  group = LoadIpv6Address(&message[kGroupOffset]);
  return type == kIcmp6MldV1Report || type == kIcmp6MldV1Done;
}

void MldV1Message::Emit(std::byte* p) const {
  runtime::StoreBe32(p, uint32_t{type} << 24);
  runtime::StoreBe32(p + 4, 0);  // the delay is zero in all but queries (RFC 2710 §3.4)
  StoreIpv6Address(p + kGroupOffset, group);
}

}  // namespace weir::netstack
