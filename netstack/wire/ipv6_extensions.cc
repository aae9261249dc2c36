#include "netstack/wire/ipv6_extensions.h"

#include "netstack/wire/icmp6.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe16, runtime::LoadU8;
using Outcome = Ipv6ExtensionResult::Outcome;

constexpr uint8_t kOptionPad1 = 0;
constexpr uint8_t kOptionPadN = 1;
constexpr uint8_t kOptionRouterAlert = 5;  // RFC 2711 §2.1
constexpr uint16_t kRouterAlertMld = 0;    // the one value that is of use to a host

class Walk {
 public:
  Walk(std::span<const std::byte> bytes, uint8_t next_header, size_t skipped)
      : bytes_(bytes), start_(static_cast<uint32_t>(Ipv6Header::kSize + skipped)), reassembled_(skipped != 0) {
    result_.protocol = next_header;
    result_.next_header_offset =
        reassembled_ ? start_ - static_cast<uint32_t>(Ipv6FragmentHeader::kSize) : Ipv6Header::kNextHeaderOffset;
  }

  Ipv6ExtensionResult Run() {
    for (int headers = 0;; ++headers) {
      const uint8_t type = result_.protocol;
      if (type == kNextHeaderFragment) return Fragment();
      if (type != kNextHeaderHopByHop && type != kNextHeaderDestination && type != kNextHeaderRouting) {
        return End(Outcome::kUpperLayer);
      }
      if (headers == kMaxIpv6ExtensionHeaders) return End(Outcome::kDrop);
      // RFC 8200 §4.1: hop-by-hop options elsewhere are a Next Header value that is not recognized.
      if (type == kNextHeaderHopByHop && (headers != 0 || reassembled_)) {
        return Problem(kIcmp6CodeNextHeader, result_.next_header_offset);
      }
      if (!Header(type)) return result_;
    }
  }

 private:
  Ipv6ExtensionResult End(Outcome outcome) {
    result_.outcome = outcome;
    return result_;
  }
  Ipv6ExtensionResult Problem(uint8_t code, size_t pointer) {
    result_.code = code;
    result_.pointer = static_cast<uint32_t>(pointer);
    return End(Outcome::kParameterProblem);
  }

  // One header at result_.offset; false when the walk ends there.
  bool Header(uint8_t type) {
    const size_t at = result_.offset;
    if (bytes_.size() - at < 8) return End(Outcome::kTruncated), false;
    const size_t size = 8 + size_t{8} * LoadU8(&bytes_[at + 1]);  // in eights, the first not counted
    if (bytes_.size() - at < size) return End(Outcome::kTruncated), false;
    if (type == kNextHeaderRouting) {
      // RFC 8200 §4.4: a Routing Type that is not recognized is skipped when no segments are left. Type 0 is to be
      // treated as such (RFC 5095 §3), and no other is known here.
      if (LoadU8(&bytes_[at + 3]) != 0) return Problem(kIcmp6CodeField, start_ + at + 2), false;
    } else if (!Options(type, at + 2, at + size)) {
      return false;
    }
    result_.protocol = LoadU8(&bytes_[at]);
    result_.next_header_offset = static_cast<uint32_t>(start_ + at);
    result_.offset = static_cast<uint32_t>(at + size);
    return true;
  }

  // The options from `at` to `end` (RFC 8200 §4.2); false when the walk ends there.
  bool Options(uint8_t header, size_t at, size_t end) {
    int options = 0;
    size_t padding = 0;
    while (at < end) {
      const uint8_t type = LoadU8(&bytes_[at]);
      size_t size = 1;
      if (type != kOptionPad1) {
        if (end - at < 2) return End(Outcome::kTruncated), false;
        size = 2 + size_t{LoadU8(&bytes_[at + 1])};
        if (end - at < size) return End(Outcome::kTruncated), false;
      }
      if (type == kOptionPad1 || type == kOptionPadN) {
        padding += size;
        if (padding > kMaxIpv6Padding) return End(Outcome::kDrop), false;
      } else {
        padding = 0;
        if (++options > kMaxIpv6Options) return End(Outcome::kDrop), false;
        if (!Option(header, type, at, size)) return false;
      }
      at += size;
    }
    return true;
  }

  bool Option(uint8_t header, uint8_t type, size_t at, size_t size) {
    if (header == kNextHeaderHopByHop && type == kOptionRouterAlert) {
      if (size != 4) return End(Outcome::kDrop), false;
      if (LoadBe16(&bytes_[at + 2]) == kRouterAlertMld) result_.router_alert = true;
      return true;
    }
    switch (type >> 6) {  // RFC 8200 §4.2: the action for options that are not recognized. Jumbo Payload is one.
      case 0: return true;
      case 1: return End(Outcome::kDrop), false;
      case 2: result_.only_unicast = false; break;
      default: break;
    }
    return Problem(kIcmp6CodeOption, start_ + at), false;
  }

  Ipv6ExtensionResult Fragment() {
    if (reassembled_) return Problem(kIcmp6CodeField, start_ + result_.offset);
    if (bytes_.size() - result_.offset < Ipv6FragmentHeader::kSize) return End(Outcome::kTruncated);
    result_.fragment.Parse(&bytes_[result_.offset]);
    return End(Outcome::kFragment);
  }

  const std::span<const std::byte> bytes_;
  const uint32_t start_;  // of bytes_ in the packet
  const bool reassembled_;
  Ipv6ExtensionResult result_;
};

}  // namespace

Ipv6ExtensionResult WalkIpv6Extensions(std::span<const std::byte> bytes, uint8_t next_header, size_t skipped) {
  return Walk(bytes, next_header, skipped).Run();
}

}  // namespace weir::netstack
