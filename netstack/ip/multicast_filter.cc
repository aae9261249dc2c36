#include "netstack/ip/multicast_filter.h"

#include <algorithm>
#include <cerrno>

namespace weir::netstack {

bool MulticastFilter::Allows(const IpAddress& source) const {
  return (std::ranges::find(sources, source) != sources.end()) != exclude;
}

int MulticastFilter::Change(GroupCall call, const IpAddress& source) {
  const bool add = call == GroupCall::kJoinSource || call == GroupCall::kBlockSource;
  const bool wants_exclude = call == GroupCall::kBlockSource || call == GroupCall::kUnblockSource;
  if (wants_exclude != exclude && !sources.empty()) return EINVAL;
  const auto found = std::ranges::find(sources, source);
  if (add == (found != sources.end())) return EADDRNOTAVAIL;
  if (!add) {
    sources.erase(found);
    return 0;
  }
  if (sources.size() >= (source.is_v4() ? kMaxSources4 : kMaxSources6)) return ENOBUFS;
  exclude = wants_exclude;  // one without sources may become one of the other kind, as on Linux
  sources.push_back(source);
  return 0;
}

}  // namespace weir::netstack
