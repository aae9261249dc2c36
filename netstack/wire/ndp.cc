#include "netstack/wire/ndp.h"

#include <cstring>

#include "netstack/wire/icmp.h"
#include "netstack/wire/icmp6.h"
#include "netstack/wire/ipv6.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe16, runtime::LoadBe32, runtime::LoadU8;

// RFC 4861 §4.6.
constexpr uint8_t kSourceLinkLayerAddress = 1;
constexpr uint8_t kTargetLinkLayerAddress = 2;
constexpr uint8_t kPrefixInformation = 3;
constexpr uint8_t kMtu = 5;
constexpr uint8_t kNonce = 14;  // RFC 3971 §5.3.2

constexpr size_t kLinkLayerOption = 8;
constexpr size_t kPrefixOption = 32;
constexpr size_t kMtuOption = 8;
constexpr size_t kNonceOption = 8;  // as long as RFC 7527 §4 has it; Linux knows no other

// Calls `option(type, bytes)` for each option, its header included; false when one is of length 0 or cut off, or when
// the callback says so.
template <typename Option>
bool ForEachOption(std::span<const std::byte> options, Option option) {
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const size_t size = size_t{8} * LoadU8(&options[1]);
    if (size == 0 || size > options.size()) return false;
    if (!option(LoadU8(&options[0]), options.first(size))) return false;
    options = options.subspan(size);
  }
  return true;
}

// The first one counts (Linux ndisc_parse_options). One that is not of Ethernet's length makes the message invalid.
bool ParseMac(std::span<const std::byte> option, std::optional<MacAddress>& mac) {
  if (option.size() != kLinkLayerOption) return false;
  if (!mac) mac = MacAddress::Load(&option[2]);
  return true;
}

// Options that have no business in the message are ignored (RFC 4861 §6.1.1, §6.1.2, §7.1.1, §7.1.2).
bool ParseOnlyMac(std::span<const std::byte> options, uint8_t wanted, std::optional<MacAddress>& mac) {
  return ForEachOption(options, [&](uint8_t type, std::span<const std::byte> option) {
    return type != wanted || ParseMac(option, mac);
  });
}

size_t EmitMac(std::byte* p, uint8_t type, const std::optional<MacAddress>& mac) {
  if (!mac) return 0;
  runtime::StoreBe16(p, static_cast<uint16_t>(type << 8 | 1));
  mac->Store(p + 2);
  return kLinkLayerOption;
}

bool HasHeader(std::span<const std::byte> message, uint8_t type, size_t size) {
  return message.size() >= size && LoadU8(&message[0]) == type && LoadU8(&message[1]) == 0;
}

void EmitHeader(std::byte* p, uint8_t type, uint32_t flags) {
  runtime::StoreBe32(p, uint32_t{type} << 24);
  runtime::StoreBe32(p + 4, flags);
}

constexpr size_t kTargetOffset = kIcmpHeader;
constexpr size_t kTargetEnd = kTargetOffset + 16;

bool ParseTarget(std::span<const std::byte> message, IpAddress& target) {
  target = LoadIpv6Address(&message[kTargetOffset]);
  return target.bytes()[0] != 0xff;  // multicast: RFC 4291 §2.7
}

// False when the prefix length is none.
bool ParsePrefix(std::span<const std::byte> option, PrefixInformation& prefix) {
  const uint8_t length = LoadU8(&option[2]);
  if (length > 128) return false;
  const uint8_t flags = LoadU8(&option[3]);
  prefix.on_link = (flags & 0x80) != 0;
  prefix.autonomous = (flags & 0x40) != 0;
  prefix.valid_lifetime_s = LoadBe32(&option[4]);
  prefix.preferred_lifetime_s = LoadBe32(&option[8]);
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &option[16], bytes.size());
  for (size_t bit = length; bit < 128; ++bit) bytes[bit / 8] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  prefix.prefix = {IpAddress::V6(bytes), length};
  return true;
}

constexpr uint32_t kRouterFlag = 0x80000000;
constexpr uint32_t kSolicitedFlag = 0x40000000;
constexpr uint32_t kOverrideFlag = 0x20000000;

}  // namespace

bool NeighborSolicitation::Parse(std::span<const std::byte> message) {  // RFC 4861 §4.3, §7.1.1
  if (!HasHeader(message, kIcmp6NeighborSolicitation, kTargetEnd) || !ParseTarget(message, target)) return false;
  return ForEachOption(message.subspan(kTargetEnd), [&](uint8_t type, std::span<const std::byte> option) {
    if (type == kSourceLinkLayerAddress) return ParseMac(option, source_mac);
    if (type == kNonce && option.size() == kNonceOption && !nonce) {
      nonce = uint64_t{LoadBe16(&option[2])} << 32 | LoadBe32(&option[4]);
    }
    return true;
  });
}

size_t NeighborSolicitation::Emit(std::byte* p) const {
  EmitHeader(p, kIcmp6NeighborSolicitation, 0);
  StoreIpv6Address(p + kTargetOffset, target);
  const size_t size = kTargetEnd + EmitMac(p + kTargetEnd, kSourceLinkLayerAddress, source_mac);
  if (!nonce) return size;
  runtime::StoreBe16(p + size, kNonce << 8 | 1);
  runtime::StoreBe16(p + size + 2, static_cast<uint16_t>(*nonce >> 32));
  runtime::StoreBe32(p + size + 4, static_cast<uint32_t>(*nonce));
  return size + kNonceOption;
}

bool NeighborAdvertisement::Parse(std::span<const std::byte> message) {  // RFC 4861 §4.4, §7.1.2
  if (!HasHeader(message, kIcmp6NeighborAdvertisement, kTargetEnd)) return false;
  const uint32_t flags = LoadBe32(&message[4]);
  router = (flags & kRouterFlag) != 0;
  solicited = (flags & kSolicitedFlag) != 0;
  override_entry = (flags & kOverrideFlag) != 0;
  return ParseTarget(message, target) &&
         ParseOnlyMac(message.subspan(kTargetEnd), kTargetLinkLayerAddress, target_mac);
}

size_t NeighborAdvertisement::Emit(std::byte* p) const {
  EmitHeader(p, kIcmp6NeighborAdvertisement,
             (router ? kRouterFlag : 0) | (solicited ? kSolicitedFlag : 0) | (override_entry ? kOverrideFlag : 0));
  StoreIpv6Address(p + kTargetOffset, target);
  return kTargetEnd + EmitMac(p + kTargetEnd, kTargetLinkLayerAddress, target_mac);
}

bool RouterSolicitation::Parse(std::span<const std::byte> message) {  // RFC 4861 §4.1, §6.1.1
  return HasHeader(message, kIcmp6RouterSolicitation, kIcmpHeader) &&
         ParseOnlyMac(message.subspan(kIcmpHeader), kSourceLinkLayerAddress, source_mac);
}

size_t RouterSolicitation::Emit(std::byte* p) const {
  EmitHeader(p, kIcmp6RouterSolicitation, 0);
  return kIcmpHeader + EmitMac(p + kIcmpHeader, kSourceLinkLayerAddress, source_mac);
}

bool RouterAdvertisement::Parse(std::span<const std::byte> message) {  // RFC 4861 §4.2, §6.1.2
  constexpr size_t kOptions = 16;
  if (!HasHeader(message, kIcmp6RouterAdvertisement, kOptions)) return false;
  hop_limit = LoadU8(&message[4]);
  const uint8_t flags = LoadU8(&message[5]);
  managed = (flags & 0x80) != 0;
  other = (flags & 0x40) != 0;
  router_lifetime_s = LoadBe16(&message[6]);
  reachable_time_ms = LoadBe32(&message[8]);
  retrans_timer_ms = LoadBe32(&message[12]);
  return ForEachOption(message.subspan(kOptions), [&](uint8_t type, std::span<const std::byte> option) {
    if (type == kSourceLinkLayerAddress) return ParseMac(option, source_mac);
    if (type == kMtu && option.size() == kMtuOption) mtu = LoadBe32(&option[4]);
    if (type == kPrefixInformation && option.size() == kPrefixOption && prefix_count < kMaxPrefixes &&
        ParsePrefix(option, prefixes[prefix_count])) {
      ++prefix_count;
    }
    return true;
  });
}

}  // namespace weir::netstack
