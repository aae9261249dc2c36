// The flow label of IPv6 packets that this host makes (RFC 6437 §3): the same for all packets of a flow, and not to be
// foreseen. Links that share their load go by it. Linux: ip6_make_flowlabel with auto_flowlabels.
#ifndef NETSTACK_IP_FLOW_LABEL_H_
#define NETSTACK_IP_FLOW_LABEL_H_

#include <array>
#include <cstdint>

#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {

class FlowLabels {
 public:
  // The key is one of its own: what can be seen of it on the link says nothing about `secret`.
  explicit FlowLabels(const runtime::SipKey& secret)
      : k0_(runtime::SipHash(secret, std::array<uint64_t, 1>{kPurpose})),
        k1_(runtime::SipHash(secret, std::array<uint64_t, 1>{kPurpose + 1})) {}

  // 1 to 0xfffff: 0 would say that there is no label. `ports`: both, as they lie in the packet. Two multiplications: it
  // is computed for each packet, and only has to spread.
  uint32_t Of(const IpAddress& source, const IpAddress& destination, uint8_t protocol, uint32_t ports) const {
    const auto s = source.words(), d = destination.words();
    const uint64_t first = Mix(s[0] ^ k0_, s[1] ^ k1_);
    const uint64_t all = Mix(first ^ d[0], d[1] ^ k1_ ^ (uint64_t{protocol} << 32 | ports));
    return static_cast<uint32_t>(all % 0xfffff) + 1;
  }

 private:
  static constexpr uint64_t kPurpose = 0x666c6f77'6c61626c;  // "flowlabl"

  static uint64_t Mix(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  const uint64_t k0_, k1_;
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_FLOW_LABEL_H_
