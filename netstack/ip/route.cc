#include "netstack/ip/route.h"

#include <algorithm>
#include <bitset>

namespace weir::netstack {

RouteTable::RouteTable() {
  routes_.reserve(kMaxRoutes);
  next_.reserve(kMaxRoutes);
  Rebuild();
}

size_t RouteTable::Bucket(const IpAddress& network, int bits) {
  const auto words = network.words();
  return ((words[0] ^ words[1]) + static_cast<uint64_t>(bits)) * 0x9e3779b97f4a7c15 >> 56;
}

// Routes change rarely: everything is linked anew.
void RouteTable::Rebuild() {
  ++generation_;
  buckets_.fill(kNone);
  next_.assign(routes_.size(), kNone);
  std::bitset<129> present[2];
  for (size_t i = 0; i < routes_.size(); ++i) {
    const int bits = Bits(routes_[i].prefix);
    present[routes_[i].prefix.ip.is_v4()].set(static_cast<size_t>(bits));
    uint16_t& bucket = buckets_[Bucket(routes_[i].prefix.ip, bits)];
    next_[i] = bucket;
    bucket = static_cast<uint16_t>(i);
  }
  for (int family : {0, 1}) {
    lengths_[family].clear();
    for (size_t bits = 129; bits-- > 0;) {
      if (present[family][bits]) lengths_[family].push_back(static_cast<uint8_t>(bits));
    }
  }
}

bool RouteTable::Add(const Route& route) {
  Route network = route;
  network.prefix.ip = route.prefix.network();
  if (std::ranges::find(routes_, network) != routes_.end()) return true;
  if (routes_.size() == kMaxRoutes) return false;
  routes_.push_back(network);
  Rebuild();
  return true;
}

void RouteTable::Remove(const Route& route) {
  Route network = route;
  network.prefix.ip = route.prefix.network();
  if (std::erase(routes_, network) > 0) Rebuild();
}

const Route* RouteTable::Lookup(const IpAddress& destination, const Interface* out) const {
  const bool v4 = destination.is_v4();
  for (const int bits : lengths_[v4]) {
    const IpAddress network = destination.Masked(v4 ? bits - 96 : bits);
    const Route* best = nullptr;
    for (uint16_t i = buckets_[Bucket(network, bits)]; i != kNone; i = next_[i]) {
      const Route& route = routes_[i];
      if (Bits(route.prefix) != bits || route.prefix.ip != network || (out != nullptr && route.out != out)) continue;
      if (best == nullptr || route.metric < best->metric) best = &route;
    }
    if (best != nullptr) return best;
  }
  return nullptr;
}

}  // namespace weir::netstack
