// TcpEarlyDemux: looks up the connections of a whole burst before the first of its segments is worked on, so that what
// they need comes from memory while others are waited for. With many connections open, that wait is most of what a segment
// costs. It decides nothing: a frame that it takes for something else only goes without, and a hash that it has worked out
// is not worked out again. The name is Linux's
// (tcp_v4_early_demux), which does it to know the route.
#ifndef NETSTACK_TCP_TCP_EARLY_DEMUX_H_
#define NETSTACK_TCP_TCP_EARLY_DEMUX_H_

#include <cstddef>
#include <span>

#include "netstack/tcp/tcp_context.h"

namespace weir::netstack {

// Below this many connections their control blocks stay in a second-level cache of a megabyte, and a look ahead costs more
// than it saves.
inline constexpr uint32_t kTcpEarlyDemuxFrom = 512;

// `burst`: frames at their link headers, behind which `link_header` bytes later an IP header is expected.
void TcpEarlyDemux(TcpContext& context, std::span<runtime::Frame* const> burst, size_t link_header);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_EARLY_DEMUX_H_
