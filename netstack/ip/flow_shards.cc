#include "netstack/ip/flow_shards.h"

#include "runtime/base/check.h"

namespace weir::netstack {

FlowShards::FlowShards(const runtime::SipKey& key, int shards)
    : key_(key),
      shards_(shards),
      all_(shards == kMaxShards ? ~ShardSet{0} : (ShardSet{1} << shards) - 1),
      users_(kPortSpaces * kPorts) {
  WEIR_CHECK(shards >= 1 && shards <= kMaxShards);
}

uint64_t FlowShards::Hash(const Endpoint& local, const Endpoint& remote) const {
  const auto a = local.ip.words(), b = remote.ip.words();
  const uint64_t words[] = {a[0], a[1], b[0], b[1], uint64_t{local.port} << 16 | remote.port};
  return runtime::SipHash13(key_, words) >> 32;
}

int FlowShards::Choose(PortSpace space, const Endpoint& local, const Endpoint& remote) const {
  ShardSet users = Users(space, local.port);
  if (std::has_single_bit(users)) return std::countr_zero(users);  // whatever the hash says
  const uint64_t hash = Hash(local, remote);
  const auto home = static_cast<int>(hash % count());
  if (users == 0 || (users >> home & 1) != 0) return home;
  for (auto skip = (hash / count()) % static_cast<uint64_t>(std::popcount(users)); skip > 0; --skip) users &= users - 1;
  return std::countr_zero(users);
}

}  // namespace weir::netstack
