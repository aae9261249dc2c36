/* The steering program: decides for each frame whether it is weir's or the kernel's.
 *
 * A frame is ours when it carries exactly our VLAN tags and its IPv4 or IPv6 destination, or an ARP's target
 * protocol address, is in the own-address maps, which the control plane fills (SteerProgram); where weir is a
 * router, also when it is for our MAC and for no address of the kernel's. Ours go to the
 * AF_XDP socket of the queue they came in on; everything else continues untouched into the kernel. Only what
 * the decision needs is checked here: a frame that is ours and malformed is the stack's to drop and count.
 *
 * Formats: RFC 826 (ARP), RFC 791 §3.1 (IPv4), RFC 8200 §3 (IPv6), IEEE 802.1Q §9 (tags).
 */
#include "xdp/bpf/steer.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VID_MASK 0x0fff

/* From linux/if_arp.h, which drags in the C library's headers. */
#define ARPHRD_ETHER 1

struct vlan_header {
  __be16 tci;
  __be16 proto; /* of what follows */
};

/* ARP for Ethernet and IPv4, RFC 826; packed because addresses are not aligned. */
struct arp_ipv4 {
  __be16 hardware_type;
  __be16 protocol_type;
  __u8 hardware_length;
  __u8 protocol_length;
  __be16 operation;
  __u8 sender_hardware[ETH_ALEN];
  __be32 sender_protocol;
  __u8 target_hardware[ETH_ALEN];
  __be32 target_protocol;
} __attribute__((packed));

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, STEER_MAX_QUEUES);
  __type(key, __u32);   /* queue */
  __type(value, __u32); /* socket */
} xsks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, STEER_MAX_ADDRESSES);
  __type(key, __be32);
  __type(value, __u8); /* enum steer_owner */
} own_addresses4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, STEER_MAX_ADDRESSES);
  __type(key, struct steer_address6);
  __type(value, __u8); /* enum steer_owner */
} own_addresses6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, STEER_COUNTER_COUNT);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

const volatile struct steer_vlan vlan = {};
const volatile struct steer_transit transit = {};

static __always_inline void Count(__u32 counter) {
  __u64 *value = bpf_map_lookup_elem(&counters, &counter);
  if (value) ++*value;
}

static __always_inline int Pass(__u32 counter) {
  Count(counter);
  return XDP_PASS;
}

/* Gives the frame to the socket of its queue; to the kernel when there is none. */
static __always_inline int Redirect(struct xdp_md *ctx, __u32 counter) {
  const int action = bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS);
  Count(action == XDP_REDIRECT ? counter : STEER_PASS_NO_SOCKET);
  return action;
}

/* `owner`: what the map said of the destination address. `to_router`: the frame is for the MAC of a router. */
static __always_inline int SteerIp(struct xdp_md *ctx, const __u8 *owner, int to_router, __u32 counter) {
  if (owner) return *owner == STEER_OURS ? Redirect(ctx, counter) : Pass(STEER_PASS_NOT_OURS);
  return to_router ? Redirect(ctx, STEER_REDIRECT_TRANSIT) : Pass(STEER_PASS_NOT_OURS);
}

static __always_inline int IsTag(__be16 proto) {
  return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

static __always_inline int SteerArp(struct xdp_md *ctx, void *data, void *end) {
  const struct arp_ipv4 *arp = data;
  if ((void *)(arp + 1) > end) return Pass(STEER_PASS_TRUNCATED);
  if (arp->hardware_type != bpf_htons(ARPHRD_ETHER) || arp->protocol_type != bpf_htons(ETH_P_IP) ||
      arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(__be32)) {
    return Pass(STEER_PASS_NOT_OURS);
  }
  const __be32 target = arp->target_protocol;
  return SteerIp(ctx, bpf_map_lookup_elem(&own_addresses4, &target), 0, STEER_REDIRECT_ARP);
}

/* Fragments other than the first carry no ports, but their destination: they go the same way. */
static __always_inline int SteerIpv4(struct xdp_md *ctx, void *data, void *end, int to_router) {
  const struct iphdr *ip = data;
  if ((void *)(ip + 1) > end) return Pass(STEER_PASS_TRUNCATED);
  const __be32 destination = ip->daddr;
  return SteerIp(ctx, bpf_map_lookup_elem(&own_addresses4, &destination), to_router, STEER_REDIRECT_IPV4);
}

/* Link-local packets never leave their link (RFC 4291 §2.5.6): the kernel has addresses there that nobody lists. */
static __always_inline int SteerIpv6(struct xdp_md *ctx, void *data, void *end, int to_router) {
  const struct ipv6hdr *ip = data;
  if ((void *)(ip + 1) > end) return Pass(STEER_PASS_TRUNCATED);
  struct steer_address6 destination;
  __builtin_memcpy(&destination, &ip->daddr, sizeof destination);
  if (destination.bytes[0] == 0xfe && (destination.bytes[1] & 0xc0) == 0x80) to_router = 0;
  return SteerIp(ctx, bpf_map_lookup_elem(&own_addresses6, &destination), to_router, STEER_REDIRECT_IPV6);
}

/* Frags-aware, so that drivers attach it where the MTU takes several buffers for a packet (Linux 5.18). It looks at the
 * first only, which has all headers. A socket that did not ask for such packets gets none (XDP_USE_SG).
 */
SEC("xdp.frags")
int steer(struct xdp_md *ctx) {
  void *data = (void *)(long)ctx->data;
  void *end = (void *)(long)ctx->data_end;

  const struct ethhdr *ethernet = data;
  if ((void *)(ethernet + 1) > end) return Pass(STEER_PASS_TRUNCATED);
  __be16 proto = ethernet->h_proto;
  data = (void *)(ethernet + 1);
  int to_router = transit.enabled;
#pragma unroll
  for (int i = 0; i < ETH_ALEN; ++i) {
    if (ethernet->h_dest[i] != transit.mac[i]) to_router = 0;
  }

  /* A tag with VID 0 carries only a priority and says nothing of the VLAN (IEEE 802.1Q §9.6). */
  __u32 matched = 0;
  int foreign = 0;
#pragma unroll
  for (int i = 0; i < STEER_MAX_TAGS; ++i) {
    if (!IsTag(proto)) break;
    const struct vlan_header *tag = data;
    if ((void *)(tag + 1) > end) return Pass(STEER_PASS_TRUNCATED);
    const __u16 vid = bpf_ntohs(tag->tci) & VID_MASK;
    if (vid != 0) {
      const __u16 wanted = matched == 0 ? vlan.vid[0] : vlan.vid[1];
      if (matched >= vlan.count || vid != wanted) foreign = 1;
      ++matched;
    }
    proto = tag->proto;
    data = (void *)(tag + 1);
  }
  if (foreign || matched != vlan.count || IsTag(proto)) return Pass(STEER_PASS_VLAN);

  switch (proto) {
    case bpf_htons(ETH_P_ARP):
      return SteerArp(ctx, data, end);
    case bpf_htons(ETH_P_IP):
      return SteerIpv4(ctx, data, end, to_router);
    case bpf_htons(ETH_P_IPV6):
      return SteerIpv6(ctx, data, end, to_router);
    default:
      return Pass(STEER_PASS_ETHERTYPE);
  }
}

/* Helpers used here are not restricted to GPL programs, but the verifier asks every program for its licence. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
