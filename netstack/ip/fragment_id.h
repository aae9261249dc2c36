// FragmentIds: the identification of datagrams that are cut into fragments (RFC 6864, RFC 7739). Linux:
// __ip_select_ident.
#ifndef NETSTACK_IP_FRAGMENT_ID_H_
#define NETSTACK_IP_FRAGMENT_ID_H_

#include <array>
#include <cstdint>

#include "runtime/base/ip_address.h"
#include "runtime/base/siphash.h"

namespace weir::netstack {

// RFC 7739 §5.3: a counter for each group of flows, from a start that depends on the flow and on a secret. So a flow's
// numbers do not repeat soon (RFC 6864 §4.3), and nobody else's packets tell what they are.
class FragmentIds {
 public:
  // Shards that share a secret begin at different places.
  explicit FragmentIds(const runtime::SipKey& secret, int shard = 0)
      : key_{secret.k0 + static_cast<uint64_t>(shard), ~secret.k1} {}

  // IPv4 uses the low 16 bits.
  uint32_t Next(const IpAddress& source, const IpAddress& destination, uint8_t protocol) {
    const auto a = source.words(), b = destination.words();
    const uint64_t words[] = {a[0], a[1], b[0], b[1], protocol};
    const uint64_t hash = runtime::SipHash(key_, words);
    return static_cast<uint32_t>(hash) + counters_[hash >> 32 & (counters_.size() - 1)]++;
  }

 private:
  const runtime::SipKey key_;  // its own: the numbers must not tell of other hashes
  // As many as flows at a time make collisions, which only make a flow skip numbers, rare enough.
  std::array<uint32_t, 1024> counters_{};
};

}  // namespace weir::netstack

#endif  // NETSTACK_IP_FRAGMENT_ID_H_
