/* What the steering program (steer.bpf.c) and its loader (xdp/steer_program.cc) share. Valid as BPF C and
 * as C++, hence C comments and C names.
 */
#ifndef XDP_BPF_STEER_H_
#define XDP_BPF_STEER_H_

#include <linux/types.h>

/* Queues of one interface that can have an AF_XDP socket: large NICs have one a core, and weir has one
 * shard a core.
 */
#define STEER_MAX_QUEUES 256

/* Addresses of one family that are ours: the host's own, its multicast groups (each IPv6 address brings a
 * solicited-node group) and broadcasts. A Linux socket may join 20 groups by default
 * (net.ipv4.igmp_max_memberships); this leaves room for fifty such sockets.
 */
#define STEER_MAX_ADDRESSES 1024

/* 802.1Q inside 802.1ad is the deepest stack the IEEE defines. */
#define STEER_MAX_TAGS 2

/* Every way a frame leaves the program, each counted per CPU: X(enumerator, name, help). */
#define STEER_COUNTERS(X)                                                                     \
  X(STEER_REDIRECT_ARP, "redirect_arp", "ARP for an own address, given to a socket")          \
  X(STEER_REDIRECT_IPV4, "redirect_ipv4", "IPv4 to an own address, given to a socket")        \
  X(STEER_REDIRECT_IPV6, "redirect_ipv6", "IPv6 to an own address, given to a socket")        \
  X(STEER_REDIRECT_TRANSIT, "redirect_transit", "IP to be forwarded, given to a socket")        \
  X(STEER_PASS_NOT_OURS, "pass_not_ours", "for another address, left to the kernel")          \
  X(STEER_PASS_VLAN, "pass_vlan", "tagged for another VLAN, left to the kernel")              \
  X(STEER_PASS_TRUNCATED, "pass_truncated", "too short for its headers, left to the kernel")  \
  X(STEER_PASS_ETHERTYPE, "pass_ethertype", "neither ARP nor IP, left to the kernel")         \
  X(STEER_PASS_NO_SOCKET, "pass_no_socket", "ours, but its queue has no socket: to the kernel")

/* What the maps of addresses say of one: it is weir's, or, where weir forwards, it is the kernel's own. */
enum steer_owner {
  STEER_OURS = 1,
  STEER_KERNELS = 2,
};

/* Where weir is a router: IP frames to this MAC address are weir's, whatever their IP address, except those to
 * addresses of the kernel's. Set before the program is loaded.
 */
struct steer_transit {
  __u8 enabled;
  __u8 mac[6];
};

enum steer_counter {
#define STEER_ENUMERATOR(enumerator, name, help) enumerator,
  STEER_COUNTERS(STEER_ENUMERATOR)
#undef STEER_ENUMERATOR
  STEER_COUNTER_COUNT,
};

/* The tags our interface is on, outermost first; set before the program is loaded. */
struct steer_vlan {
  __u16 count;
  __u16 vid[STEER_MAX_TAGS];
};

struct steer_address6 {
  __u8 bytes[16]; /* network order */
};

#endif /* XDP_BPF_STEER_H_ */
