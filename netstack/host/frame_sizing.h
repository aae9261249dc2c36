// How many frames a shard has, and of which size, where the program's user does not say.
#ifndef NETSTACK_HOST_FRAME_SIZING_H_
#define NETSTACK_HOST_FRAME_SIZING_H_

#include <memory>
#include <vector>

#include "netstack/host/host_options.h"
#include "netstack/host/xdp_interface.h"
#include "runtime/buffer/frame_pool.h"

namespace weir {

// What sockets may hold of received and unsent data: fourteen connections with full windows of 512 KiB both ways, in
// segments of 1448 bytes (2 * 362 frames each), or 10,000 that hold one frame each.
inline constexpr uint32_t kSocketFrames = 10240;

// --frames and --frame_size, where they are given. Else: the rings of each interface full, Fill's 4096 and Tx's 2048, and
// kSocketFrames: 16,384 for one interface, 32 MiB; more where a shard serves more queues than four, and with several
// shards what may be on its way between them (FrameExchange::kUnderWay). Kernel sockets, which have no interfaces here,
// get as many: a quarter lies ready for the kernel to fill, in the place of the rings. The size is 2048, which holds an
// MTU of 1500 with all headers, or 4096 where an interface's MTU needs it.
runtime::FramePool::Options FrameSizing(const HostOptions& options,
                                        const std::vector<std::unique_ptr<XdpInterface>>& interfaces);

}  // namespace weir

#endif  // NETSTACK_HOST_FRAME_SIZING_H_
