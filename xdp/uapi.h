// Constants of <linux/if_xdp.h> that are newer than Debian 12's kernel headers (6.1). Whether the running
// kernel knows them is probed where they are used.
#ifndef XDP_UAPI_H_
#define XDP_UAPI_H_

#include <linux/if_xdp.h>

// Linux 6.17: how many frames one sendto moves in copy mode; 32 without it.
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

// Linux 6.6: packets in several frames, of which all but the last have the option in their descriptor.
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

// The socket level of AF_XDP, which older C libraries do not have.
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

#endif  // XDP_UAPI_H_
