// TcpSettings: what Linux has as sysctls of TCP, and under its names (Documentation/networking/ip-sysctl); `--tcp` sets
// them (netstack/host/tcp_flags.cc). One set for a shard.
#ifndef NETSTACK_TCP_TCP_SETTINGS_H_
#define NETSTACK_TCP_TCP_SETTINGS_H_

#include <cstdint>

#include "netstack/tcp/tcp_congestion.h"

namespace weir::netstack {

// The window scale that we offer: 65535 << 7 is 8 MiB, beyond any receive buffer here.
inline constexpr uint8_t kTcpWindowScale = 7;
// What a window with it can say, and so what buffers can be of use.
inline constexpr uint32_t kTcpMaxBuffer = 65535u << kTcpWindowScale;

// Ports that connections without one, and listeners, get.
struct TcpPortRange {
  uint16_t first = 32768, last = 60999;  // Linux's

  uint32_t count() const { return last - first + 1u; }
  // Any number is one of them.
  uint16_t At(uint64_t number) const { return static_cast<uint16_t>(first + number % count()); }
  friend bool operator==(const TcpPortRange&, const TcpPortRange&) = default;
};

struct TcpSettings {
  // Control blocks on this shard, TIME-WAIT included. At the bound the oldest in TIME-WAIT makes room.
  uint32_t max_sockets = 65536;
  // Unread bytes that a connection may hold (tcp_rmem): the least that a program may set, what it begins with, and what
  // it may grow to by itself (tcp_moderate_rcvbuf). The first is SOCK_MIN_RCVBUF, the second Linux's times four, for an
  // RTT of 4 ms at 1 Gbit/s, the third Linux's, for 48 ms.
  uint32_t receive_buffer_min = 2304;
  uint32_t receive_buffer = 512 << 10;
  uint32_t receive_buffer_max = 6 << 20;
  bool moderate_rcvbuf = true;
  // The same for unacknowledged and unsent bytes (tcp_wmem).
  uint32_t send_buffer_min = 2304;
  uint32_t send_buffer = 512 << 10;
  uint32_t send_buffer_max = 4 << 20;
  // Of these, unsent bytes beyond which a program gives no more (tcp_notsent_lowat); Linux has no bound. Here a program
  // that waits is asked in the turn in which an acknowledgment came, before anything is sent, and again afterwards: a
  // longer queue sends no more, but is copied earlier and has left the caches when it is sent. While a program fetches
  // its next piece elsewhere, 128 KiB last for a millisecond at 1 Gbit/s.
  uint32_t notsent_lowat = 128 << 10;
  // Options to offer and to take, by their Linux names: tcp_timestamps (0: off, 1: on, 2: on without a secret offset),
  // tcp_sack, tcp_dsack, tcp_window_scaling.
  uint8_t timestamps = 1;
  bool sack = true;
  bool dsack = true;
  bool window_scaling = true;
  // tcp_ecn: 0: off; 1: asked for and agreed to; 2: agreed to.
  uint8_t ecn = 2;
  // Spurious timeouts are recognized (tcp_frto), the tail of a flight is probed (tcp_early_retrans, RFC 8985 §7).
  bool frto = true;
  bool early_retrans = true;
  // What goes again takes the small segments behind it along (tcp_retrans_collapse).
  bool retrans_collapse = true;
  // RFC 4821: tcp_mtu_probing (0: off; 1: after black holes, as its §7.7 recommends; Linux's default is 0; 2: always, and
  // the first segments are of tcp_base_mss). Data in the segments that pass without asking, and the least that further
  // losses make of it (tcp_mtu_probe_floor; net.ipv4.route.min_pmtu less headers, as narrower links are hardly left;
  // Linux: 48). Then, of probes: when all sizes are tried anew, and the range that is not worth one.
  uint8_t mtu_probing = 1;
  uint32_t base_mss = 1024;
  uint32_t mtu_probe_floor = 512;
  uint32_t probe_interval_s = 600;
  uint32_t probe_threshold = 8;
  // Segments are no smaller, with their options, whatever the peer or the path says; else one could make us send confetti.
  // Linux has 48: 8 bytes beside the options.
  uint32_t min_snd_mss = 88;
  // tcp_congestion_control for new connections, tcp_slow_start_after_idle.
  TcpCongestionControl congestion_control = TcpCongestionControl::kCubic;
  bool slow_start_after_idle = true;
  // Half-open connections of a listener that are remembered, besides its backlog (tcp_max_syn_backlog), and whether the
  // others get a cookie (tcp_syncookies; RFC 4987 §3.6). Each is a control block.
  uint32_t max_syn_backlog = 4096;
  uint8_t syncookies = 1;
  // Connections in TIME-WAIT, beyond which they end at once (tcp_max_tw_buckets), and whether one may be used for a new
  // connection to the same peer: 0 not, 1 yes, 2 with ourselves (tcp_tw_reuse).
  uint32_t max_tw_buckets = 65536;
  uint8_t tw_reuse = 2;
  // ip_local_port_range. A client that opens and ends connections to one server faster than TIME-WAIT ends needs more of
  // them, or tw_reuse=1, or both.
  TcpPortRange local_ports;
  // Connections that their program has closed and that still have something to send, or wait for the peer's FIN; more
  // are reset (tcp_max_orphans). A quarter of the control blocks, for each of which a send buffer may be full.
  uint32_t max_orphans = 16384;
  // How long one of them waits for the peer's FIN (tcp_fin_timeout).
  uint32_t fin_timeout_s = 60;
  // RFC 5961 §7: challenge ACKs in a second, and the least time between two for one connection (tcp_challenge_ack_limit,
  // tcp_invalid_ratelimit). The limit is RFC 5961's idea and the value Linux had until 6.0, which then left the limit to
  // each connection; here what one shard can be made to send stays bounded.
  uint32_t challenge_ack_limit = 1000;
  uint32_t invalid_ratelimit_ms = 500;
  // tcp_fastopen, the same bits (RFC 7413; tcp_fast_open.h): 1 client, 2 server, 4 clients without cookies, 0x200 servers
  // without, 0x400 every listener.
  uint32_t fastopen = 0;
  // Header prediction; off only to show that it changes nothing.
  bool prediction = true;

  friend bool operator==(const TcpSettings&, const TcpSettings&) = default;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SETTINGS_H_
