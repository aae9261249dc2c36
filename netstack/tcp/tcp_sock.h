// TcpSock: the control block of one connection (the TCB of RFC 9293 §3.3.1, Linux's tcp_sock), and TcpListenSock: a
// listening port. They hold state only; what happens to it is in tcp_input.h, tcp_output.h, tcp_timer.h and
// tcp_user_calls.h.
#ifndef NETSTACK_TCP_TCP_SOCK_H_
#define NETSTACK_TCP_TCP_SOCK_H_

#include <cstddef>
#include <cstdint>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/ip_dst.h"
#include "netstack/tcp/seq.h"
#include "netstack/tcp/tcp_congestion.h"
#include "netstack/tcp/tcp_reader.h"
#include "netstack/tcp/tcp_rtt.h"
#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_state.h"
#include "runtime/base/intrusive_list.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/recycler.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/buffer/frame_queue.h"

namespace weir::netstack {

struct TcpContext;
struct TcpLoss;
struct TcpMtuProbe;
struct TcpExtra;
struct TcpSock;

// What the send queue keeps with each frame: the payload lies at `offset` from the frame's base, headers are written
// in front of it at each transmission.
struct TcpTxCb {
  // Linux: TCPCB_SACKED_ACKED, TCPCB_LOST, TCPCB_SACKED_RETRANS; what they mean is in tcp_scoreboard.h.
  static constexpr uint8_t kSacked = 1;
  static constexpr uint8_t kLost = 2;
  static constexpr uint8_t kRetrans = 4;  // sent again, and that is under way
  static constexpr uint8_t kFin = 8;      // the FIN follows the payload

  Nanos sent_ns;  // last transmission; 0: never sent
  Seq seq;
  uint16_t length;
  uint16_t offset;
  uint8_t retransmits;
  uint8_t flags;

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  // In sequence space.
  uint32_t size() const { return uint32_t{length} + has(kFin); }
  Seq end() const { return seq + size(); }
};

// What the receive and out-of-order queues keep with each frame; frame->data and len are the payload not read yet.
struct TcpRxCb {
  Seq seq;  // of frame->data[0]
  bool fin;  // the FIN follows the payload
};

// SYN queue or accept queue of a listener: no program holds it; or, a program waits for room to send,
// TcpContext::short_of_frames. It is in one of them at most.
struct TcpQueueTag;
struct TcpOutputTag;  // TcpContext::output: has something to send at the end of the turn
struct TcpOfoTag;     // TcpContext::ofo_holders

// RFC 5681 §3.2: duplicate ACKs that mean a loss (tcp_reordering).
inline constexpr uint8_t kTcpDupThresh = 3;

// What TcpSock::timer_ns is the deadline of; of these a connection needs one at a time.
enum class TcpTimerKind : uint8_t {
  kNone,
  kRetransmit,   // RFC 6298
  kLossProbe,    // RFC 8985 §7: tcp_tlp.h
  kReorder,      // RFC 8985 §6.2.5: something may soon count as lost
  kWindowProbe,  // RFC 9293 §3.8.6.1
  kStalled,      // nothing is in flight, and the next segment could not be sent
  kEnd,          // of FIN-WAIT-2
};

// A timer that knows its connection, for what few of them have.
struct TcpTimer : runtime::Timer {
  TcpTimer(Callback callback, TcpSock& sock) : Timer(callback), sock(sock) {}
  TcpSock& sock;
};

struct TcpListenSock : ReadySock {
  Endpoint local;
  TcpListenSock* hash_next = nullptr;
  uint32_t backlog = 0;
  uint32_t half_open = 0;     // in syn_queue: at most as many as `backlog` and tcp_max_syn_backlog
  uint32_t unaccepted = 0;    // in accept_queue: at most `backlog`
  // TCP Fast Open (RFC 7413 §5.1): open before their handshake is done; those of them that were reset lately, the last
  // at fast_open_reset_ns; and how many there may be of both, 0: none (TCP_FASTOPEN).
  uint32_t fast_open_pending = 0;
  uint32_t fast_open_resets = 0;
  uint32_t fast_open_max = 0;
  uint8_t defer_accept = 0;   // TCP_DEFER_ACCEPT, in SYN and ACKs that go again (TcpSecsToRetrans); 0: off
  bool v6only = false;        // IPV6_V6ONLY: "::" stands for no IPv4 address
  Nanos fast_open_reset_ns = 0;
  TcpInherited inherited;     // of the connections that come
  Nanos last_cookie_ns = 0;   // when a SYN was answered by a cookie; 0: never
  runtime::List<TcpSock, TcpQueueTag> syn_queue;
  runtime::List<TcpSock, TcpQueueTag> accept_queue;
};

// The smallest members of TcpSock: a base, so that they lie in what ReadySock leaves of its last word.
struct TcpSockBits {
  TcpState state = TcpState::kClosed;
  TcpTimerKind timer_kind = TcpTimerKind::kNone;
  bool hashed : 1 = false;
  bool ack_now : 1 = false;
  bool ack_delayed : 1 = false;
  bool nodelay : 1 = false;            // TCP_NODELAY
  bool cork : 1 = false;               // TCP_CORK
  bool send_shut : 1 = false;          // ShutdownWrite or Close
  bool orphan : 1 = false;             // the program closed it; data that arrives is answered by RST
  bool counted_as_orphan : 1 = false;
};

// What the input of data, its acknowledgment and a send without losses touch of a connection, and not by their subject
// alone: seven cache lines. With many connections each line costs a look into memory, and TcpEarlyDemux asks for these. What
// timers, losses, the beginning and the end of a connection need is behind them, in TcpSock (as the groups of Linux's tcp_sock
// are). No unique address: what follows may lie in the padding at the end of such a member.
struct TcpSockFront : ReadySock, TcpSockBits, runtime::ListNode<TcpOutputTag> {
  explicit TcpSockFront(TcpContext& context) : context(context) {}

  TcpContext& context;
  TcpSock* hash_next = nullptr;
  Endpoint local;
  Endpoint remote;
  uint32_t hash = 0;

  // Receive Sequence Variables (RFC 9293 §3.3.1). wup + wnd is the right edge that was advertised; it never moves left.
  struct {
    Seq nxt;
    Seq irs;
    Seq wup;  // nxt when the last ACK was sent
    uint32_t wnd = 0;
    uint32_t queued = 0;  // bytes in receive_queue
    uint16_t mss = 536;   // largest segment seen, for the decision to acknowledge
    uint16_t advmss = 536;  // what we tell the peer: the link's MTU less headers
    uint8_t wscale = 0;
    bool fin : 1 = false;  // the peer's FIN was received in order
    bool buffer_locked : 1 = false;  // the program set `buffer`
    bool clamped : 1 = false;        // and extra->window_clamp
    bool guarded : 1 = false;        // and extra->min_ttl
    uint8_t ato_ms = 0;   // tcp_delack.h; 0: nothing came yet
    uint32_t buffer = 0;  // unread bytes that it may hold
    uint32_t last_data_ms = 0;  // when data came last
  } rcv;

  // Send Sequence Variables. Everything from una to write_seq is in send_queue, a FIN that was not sent excepted.
  struct {
    Seq una;
    Seq nxt;        // behind the last byte ever sent
    Seq write_seq;  // behind the last byte (or FIN) the program gave
    Seq wl1, wl2;      // segment of the last window update
    uint32_t wnd = 0;  // scaled
    uint32_t max_wnd = 0;
    uint32_t path_generation = 0;  // of the path MTUs when that was looked up
    uint16_t peer_mss = 536;  // what the peer takes; RFC 9293 §3.7.1: the default for IPv4
    uint16_t mss = 536;       // data in a segment: not more than the path takes either, less options (RFC 6691 §2)
    uint8_t wscale = 0;
    bool fin = false;  // a FIN is the last thing before write_seq
    bool held = false;  // the end of the queue waits for more: tcp_nagle.h
    bool buffer_locked : 1 = false;  // the program set `buffer`
    bool notsent_full : 1 = false;   // it waits because so much was not sent yet (TcpNotSentLowat)
    Seq iss;
    Seq sml;            // end of the last small segment that was sent
    uint32_t buffer = 0;  // unacknowledged and unsent bytes that it may hold
  } snd;

  // Timestamps (RFC 7323 §3), once negotiated.
  [[no_unique_address]] struct {
    uint32_t offset = 0;    // of our clock, in ms
    uint32_t recent = 0;    // TS.Recent: what is echoed
    uint32_t recent_s = 0;  // the second in which it came
    bool ok = false;
  } ts;
  // Selective acknowledgment (RFC 2018), once negotiated, and what our ACKs tell of: tcp_sack.h.
  struct {
    bool ok : 1 = false;
    bool has_dsack : 1 = false;
    uint8_t count : 3 = 0;  // of loss->ours
  } sack;
  // Explicit Congestion Notification (RFC 3168 §6.1), once negotiated: tcp_ecn.h.
  struct {
    bool ok : 1 = false;
    bool demand_cwr : 1 = false;  // ECE goes with every segment until the peer's CWR
    bool queue_cwr : 1 = false;   // CWR goes with the next new data
  } ecn;
  uint8_t dup_acks = 0;  // without SACK

  // Loss recovery: tcp_recovery.h, tcp_undo.h and tcp_tlp.h.
  [[no_unique_address]] struct {
    Seq high_seq;              // nxt when the state began
    Seq tlp_high_seq;          // nxt when the probe was sent
    TcpCaState state = TcpCaState::kOpen;
    bool frto : 1 = false;      // the timeout may have been spurious (RFC 5682)
    bool send_new : 1 = false;  // F-RTO: new data goes first, and nothing is sent again until the next ACK
    bool has_undo : 1 = false;  // loss->undo_marker and what follows it
    bool has_retrans_stamp : 1 = false;
    bool tlp : 1 = false;          // a probe is under way
    bool tlp_retrans : 1 = false;  // and was no new data
  } recovery;
  uint8_t backoff = 0;
  uint8_t retries = 0;

  Nanos heard_ns = 0;  // when an ACK was accepted last
  runtime::Frame* send_head = nullptr;  // the frame in send_queue that begins at snd.nxt: the next to send
  TcpReader* reader = nullptr;          // that waits, so what arrives will leave soon
  TcpLoss* loss = nullptr;              // tcp_loss.h; nullptr: all is well
  [[no_unique_address]] runtime::FrameQueue receive_queue;

  // What the program reads in a round trip: tcp_autotune.h.
  struct {
    uint32_t since_us = 0;  // when this one began
    Seq seq;                // what was read by then
    uint32_t bytes = 0;     // most that was read in one; 0: nothing came yet
  } rcv_space;

  [[no_unique_address]] IpDst dst;  // sk_dst_cache
  // Of the headers of our packets: IP_TTL, where it is not 0, IP_TOS less the bits of ECN, and IP_MTU_DISCOVER.
  uint8_t ttl = 0;
  uint8_t dscp : 6 = 0;
  TcpMtuDiscover mtu_discover : 2 = TcpMtuDiscover::kWant;
  TcpExtra* extra = nullptr;  // tcp_extra.h; nullptr: nothing of that
  TcpMtuProbe* mtu_probe = nullptr;  // tcp_mtu_probe.h; nullptr: not probing

  // Since the connection began, for TcpInfo. What was sent again is in TcpExtra.
  struct {
    uint64_t bytes_received = 0;
    uint64_t bytes_sent = 0;
    uint32_t segs_out = 0;
    uint32_t segs_in = 0;
    uint64_t bytes_acked = 0;
  } stats;

  // What is known of the frames from una to nxt, in sum: tcp_scoreboard.h.
  struct {
    uint32_t sacked_out = 0;
    uint32_t lost_out = 0;
    uint32_t retrans_out = 0;
    uint16_t sacked_frames = 0;
    uint16_t packets_in_flight = 0;  // frames, counted as the bytes in flight are
  } board;

  Nanos delack_ns = kNever;  // tcp_timer.h
  [[no_unique_address]] runtime::FrameQueue send_queue;
  uint8_t error = 0;       // errno that ended the connection; 0: none
  uint8_t soft_error = 0;  // errno that a router reported since the peer last answered (sk_err_soft)
  // TCP Fast Open: tcp_fast_open.h.
  struct {
    bool offered : 1 = false;         // client: our SYN has a cookie or asks for one
    bool early : 1 = false;           // client: the program took the connection for open before the peer had answered
    bool deferred : 1 = false;        // client: the SYN waits for data
    bool syn_data : 1 = false;        // client: data went with the SYN
    bool pending : 1 = false;         // server: on or beyond the accept queue, and the handshake not done
    bool accepted : 1 = false;        // server, while pending: beyond it
    bool cookie_owed : 1 = false;     // server: a cookie goes with the SYN and ACK
    bool syn_data_taken : 1 = false;  // both: data of the SYN was acknowledged
  } fast_open;
  uint8_t quick_acks = 0;  // ACKs at once that are left, for the peer's slow start

  // Where the socket layer's object of a connection that a program holds may lie: it is read whenever this is.
  static constexpr size_t kOwnerRoom = 32;
  alignas(8) std::byte owner_room[kOwnerRoom];
};

// tests/netstack/tcp/resources_test.cc and the assertions below hold the sizes.
struct TcpSock : runtime::Recycled, TcpSockFront, runtime::ListNode<TcpQueueTag>, runtime::Timer {
  explicit TcpSock(TcpContext& context);

  TcpRtt rtt;
  // One entry in the wheel, for whichever of the two deadlines is earlier: tcp_timer.h.
  Nanos timer_ns = kNever;

  // How much of the window is used: tcp_cwnd_validate.h.
  struct {
    uint32_t last_sent_ms = 0;  // new data
    uint32_t since_ms = 0;      // not limited by the window since then
    Seq seq;                    // end of the round trip that the next two are about
    uint32_t max_flight = 0;
    uint32_t used = 0;  // most in flight since since_ms
    bool limited : 1 = false;
    bool by_packets : 1 = false;  // the window was full of packets, of fewer bytes than it has
    uint16_t packets_out = 0;     // frames from una to nxt
  } usage;

  TcpCongestion congestion;

  // RFC 8985 §5.2: of the segment that was sent last among those that are known to have arrived.
  [[no_unique_address]] struct {
    Nanos xmit_ns = 0;  // until the handshake is done, when our SYN went first; 0: not known
    TcpDuration rtt_ns;
    Seq end_seq;
    Seq fack;  // the highest number that is known to have arrived
    Seq dsack_round;
    uint8_t reo_wnd_steps = 1;
    uint8_t persist = 0;
    bool has_fack : 1 = false;
    bool reord_seen : 1 = false;
    bool advanced : 1 = false;  // since losses were looked for
    bool dsack_seen : 1 = false;
    bool in_dsack_round : 1 = false;
  } rack;

  bool reset_on_close = false;  // SO_LINGER with a time of 0
  bool recv_shut = false;       // SHUT_RD: with a FIN of ours too, data that arrives is answered by RST
  bool recverr = false;         // IP_RECVERR: what a router reports is told at once, and the connection goes on
  uint8_t probes = 0;           // since the window closed, answered or not
  TcpListenSock* listener = nullptr;  // until accepted, or as long as fast_open.pending
};

static_assert(sizeof(TcpSockFront) <= 7 * 64);
static_assert(sizeof(TcpSock) <= 10 * 64);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_SOCK_H_
