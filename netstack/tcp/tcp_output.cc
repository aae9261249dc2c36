#include "netstack/tcp/tcp_output.h"

#include <algorithm>
#include <cstring>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_cwnd_validate.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_nagle.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_retransmit.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_tlp.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/tcp.h"

namespace weir::netstack {
namespace {

// Puts the checksum in and passes on a frame that begins at its TCP header; takes over one reference.
void Send(IpContext& ip, runtime::Frame* frame, const IpAddress& source, const Endpoint& remote, uint8_t tos,
          Nanos now_ns) {
  const ChecksumSum pseudo = PseudoHeaderSum(source, remote.ip, kProtocolTcp, frame->len);
  StoreChecksum(frame->data + TcpHeader::kChecksumOffset, FinishChecksum(SumBytes(frame->bytes()) + pseudo));
  ip.CountFailure(IpOutput(ip, frame,
                           {.source = source,
                            .destination = remote.ip,
                            .protocol = kProtocolTcp,
                            .tos = tos,
                            .out = ip.FindInterface(remote.scope_id)},
                           now_ns));
}

// Header in front of `frame`, which begins at its payload and of which one reference is taken over. What the segment
// says about receiving is then said: no ACK is owed any more (tcp_transmit_skb).
void Transmit(TcpSock& sock, runtime::Frame* frame, Seq seq, uint8_t flags, Nanos now_ns) {
  TcpContext& context = sock.context;
  std::byte option_bytes[TcpOptions::kMaxSize];
  bool sack_left = false;
  uint8_t ecn = kEcnNotEct;
  flags |= (flags & kTcpSyn) != 0 ? TcpEcnSynFlags(sock)
                                  : TcpEcnSendFlags(sock, frame->len > 0 && seq == sock.snd.nxt, &ecn);
  const size_t option_size = (flags & kTcpSyn) != 0
                                 ? TcpWriteSynOptions(sock, option_bytes, now_ns)
                                 : TcpWriteOptions(sock, option_bytes, frame->len, now_ns, &sack_left);
  TcpHeader header{.source_port = sock.local.port,
                   .destination_port = sock.remote.port,
                   .seq = seq.value(),
                   .header_size = static_cast<uint8_t>(TcpHeader::kMinSize + option_size),
                   .flags = flags};
  if ((flags & kTcpAck) != 0) {
    sock.rcv.wnd = TcpSelectWindow(sock);
    sock.rcv.wup = sock.rcv.nxt;
    header.ack = sock.rcv.nxt.value();
    sock.ack_now = sock.ack_now && sack_left;
    sock.ack_delayed = false;
    context.ip.timers.Cancel(sock.delack_timer);
  }
  // RFC 7323 §2.2: the window of a SYN is never scaled, and no more than its field says is promised.
  if ((flags & kTcpSyn) != 0) sock.rcv.wnd = std::min<uint32_t>(sock.rcv.wnd, 65535);
  header.window = static_cast<uint16_t>(sock.rcv.wnd >> ((flags & kTcpSyn) != 0 ? 0 : sock.rcv.wscale));
  ++sock.stats.segs_out;
  sock.stats.bytes_sent += frame->len;
  std::byte* at = frame->Push(header.header_size);
  header.Emit(at);
  std::memcpy(at + TcpHeader::kMinSize, option_bytes, option_size);
  ++context.counters.segments_out;
  Send(context.ip, frame, sock.local.ip, sock.remote, ecn, now_ns);
}

// A segment without data. Without a frame nothing is sent: the timer, or the peer, asks again.
void TransmitControl(TcpSock& sock, Seq seq, uint8_t flags, Nanos now_ns) {
  runtime::Frame* frame = sock.context.ip.pool.Alloc();
  if (frame == nullptr) {
    sock.context.ip.outcomes.Count(DropReason::kTxNoFrame);
    return;
  }
  Transmit(sock, frame, seq, flags, now_ns);
}

// Cuts a frame of the send queue so that it has `length` bytes; the rest goes to a new frame behind it (tcp_fragment).
// Their bits are the same, so the sums of the scoreboard stay as they are.
bool Split(TcpSock& sock, runtime::Frame* frame, uint16_t length) {
  if (frame->tx_pending > 0) return false;
  runtime::Frame* rest = sock.context.ip.pool.Alloc();
  if (rest == nullptr) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  auto& rest_cb = rest->Cb<TcpTxCb>();
  rest_cb = cb;
  rest_cb.seq = cb.seq + length;
  rest_cb.length = static_cast<uint16_t>(cb.length - length);
  rest_cb.offset = runtime::kTxHeadroom;
  std::memcpy(rest->base + rest_cb.offset, frame->base + cb.offset + length, rest_cb.length);
  sock.context.ip.copied_bytes += rest_cb.length;
  cb.length = length;
  cb.flags &= static_cast<uint8_t>(~TcpTxCb::kFin);
  if (cb.has(TcpTxCb::kSacked)) ++sock.board.sacked_frames;
  sock.send_queue.InsertAfter(frame, rest);
  return true;
}

// The FIN that no data carries gets a frame of its own: then it is sent again like everything else.
bool AppendFin(TcpSock& sock) {
  runtime::Frame* frame = sock.context.ip.pool.Alloc();
  if (frame == nullptr) {
    sock.context.ip.outcomes.Count(DropReason::kTxNoFrame);
    return false;
  }
  frame->Cb<TcpTxCb>() = {.sent_ns = 0,
                          .seq = sock.snd.nxt,
                          .length = 0,
                          .offset = static_cast<uint16_t>(frame->data - frame->base),
                          .retransmits = 0,
                          .flags = TcpTxCb::kFin};
  sock.send_queue.PushBack(frame);
  sock.send_head = frame;
  return true;
}

// Sends the frame at send_head, if the peer's window and `room` bytes of the congestion window allow. `part`: of a
// segment that the window cuts, a part may go.
bool SendHead(TcpSock& sock, uint32_t room, bool part, Nanos now_ns) {
  auto& snd = sock.snd;
  const Seq edge = snd.una + snd.wnd;
  if (edge <= snd.nxt || (sock.send_head == nullptr && !AppendFin(sock))) return false;
  runtime::Frame* frame = sock.send_head;
  if (!TcpFitToMss(sock, frame)) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  const uint32_t usable = std::min(static_cast<uint32_t>(edge - snd.nxt), room);
  if (cb.length > usable && !(part && usable > 0 && Split(sock, frame, static_cast<uint16_t>(usable)))) return false;
  // The FIN counts in the window.
  if (snd.fin && frame->next == nullptr && cb.length < usable) cb.flags |= TcpTxCb::kFin;
  if (cb.size() > usable || !TcpTransmitFrame(sock, frame, now_ns)) return false;
  sock.send_head = frame->next;
  snd.nxt = cb.end();
  TcpNagleSent(sock, cb.length, snd.nxt);
  sock.recovery.prr.OnSent(cb.size());
  return true;
}

// New data, as far as the windows allow. Returns whether some was sent.
bool SendNew(TcpSock& sock, Nanos now_ns, bool override_timeout) {
  auto& snd = sock.snd;
  bool sent = false;
  while (TcpHasUnsent(sock) && TcpPacingAllows(sock, now_ns)) {
    snd.held = !override_timeout && TcpNagleHolds(sock);
    if (snd.held) break;
    const uint32_t in_flight = TcpInFlight(sock), cwnd = sock.congestion.cwnd();
    // Sender's silly window avoidance (RFC 9293 §3.8.6.2.1): a part of a segment only when nothing is in flight, and
    // it is half of the largest window or the timeout has come. As a reader goes on, the window soon opens for all.
    const bool part = snd.nxt == snd.una && (override_timeout || snd.wnd >= snd.max_wnd / 2);
    if (!SendHead(sock, cwnd > in_flight ? cwnd - in_flight : 0, part, now_ns)) break;
    sent = true;
  }
  return sent;
}

void FlushSock(TcpSock& sock, Nanos now_ns) {
  if (sock.state == TcpState::kClosed) return;
  if (sock.state == TcpState::kSynReceived) {
    if (sock.ack_now) TcpSendAck(sock, now_ns);  // something out of place (TcpSendDupack)
    return;
  }
  if (sock.state == TcpState::kSynSent) return;
  TcpWriteXmit(sock, now_ns);
  if (!sock.ack_now && !sock.ack_delayed) return;
  // RFC 5681 §4.2: an ACK for at least every second full-sized segment.
  const auto unacked = static_cast<uint32_t>(sock.rcv.nxt - sock.rcv.wup);
  if (sock.ack_now || unacked >= 2u * sock.rcv.mss) return TcpSendAck(sock, now_ns);
  if (!sock.delack_timer.armed()) sock.context.ip.timers.Arm(sock.delack_timer, now_ns + kTcpDelayedAck);
}

}  // namespace

bool TcpTransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns) {
  if (frame->tx_pending > 0) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  if (cb.sent_ns != 0) {
    if (cb.retransmits < 255) ++cb.retransmits;
    ++sock.stats.total_retrans;
    sock.stats.bytes_retrans += cb.length;
    ++sock.context.counters.retransmits;
  }
  cb.sent_ns = now_ns;
  uint8_t flags = kTcpAck;
  // The end of what there is to send; a FIN by itself may be behind it.
  if (cb.length > 0 && (frame->next == nullptr || frame->next->Cb<TcpTxCb>().length == 0)) flags |= kTcpPsh;
  if (cb.has(TcpTxCb::kFin)) flags |= kTcpFin;
  frame->data = frame->base + cb.offset;
  frame->len = cb.length;
  runtime::Ref(frame);
  Transmit(sock, frame, cb.seq, flags, now_ns);
  TcpPacingSent(sock, cb.length, now_ns);
  return true;
}

bool TcpFitToMss(TcpSock& sock, runtime::Frame* frame) {
  return frame->Cb<TcpTxCb>().length <= sock.snd.mss || Split(sock, frame, sock.snd.mss);
}

void TcpFlush(TcpContext& context, Nanos now_ns) {
  while (TcpSock* sock = context.output.PopFront()) FlushSock(*sock, now_ns);
  context.FreeDead();
  // A quarter of the pool's reserve is enough for one frame each; whoever finds none again waits again.
  if (!context.short_of_frames.empty() && context.ip.pool.free_count() > context.ip.pool.size() / 8) {
    runtime::List<TcpSock, TcpMemoryTag> waiting;
    waiting.Splice(context.short_of_frames);
    while (TcpSock* sock = waiting.PopFront()) context.ip.Ready(*sock, ReadySock::kWritable);
  }
}

// RFC 9293 §3.7.1: without options of IP and TCP. The MTU of the link, not of the path: it says what we can receive.
uint16_t TcpMss(IpContext& ip, const Endpoint& remote) {
  const NextHop hop = RouteLookup(ip, remote.ip, ip.FindInterface(remote.scope_id));
  const bool v4 = remote.ip.is_v4();
  const uint32_t mtu = hop.out != nullptr ? hop.out->mtu(v4) : v4 ? 576 : 1280;
  const uint32_t headers = TcpHeader::kMinSize + (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  return static_cast<uint16_t>(std::min<uint32_t>(mtu, 65535) - headers);
}

void TcpSyncMss(TcpSock& sock) {
  IpContext& ip = sock.context.ip;
  const uint32_t mtu = PathMtu(ip, sock.remote.ip, ip.FindInterface(sock.remote.scope_id));
  const size_t headers = TcpHeader::kMinSize + (sock.remote.ip.is_v4() ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  sock.snd.mss = sock.snd.peer_mss;
  if (mtu > headers) sock.snd.mss = static_cast<uint16_t>(std::min<size_t>(sock.snd.mss, mtu - headers));
  sock.snd.mss = static_cast<uint16_t>(sock.snd.mss - std::min(TcpFixedOptions(sock), sock.snd.mss));
  sock.snd.path_generation = ip.path_mtu.generation();
}

uint32_t TcpSelectWindow(const TcpSock& sock) {
  const TcpContext& context = sock.context;
  const Seq right = sock.rcv.wup + sock.rcv.wnd;
  const uint32_t current = right > sock.rcv.nxt ? static_cast<uint32_t>(right - sock.rcv.nxt) : 0;
  const uint32_t limit = sock.rcv.buffer;
  uint32_t free_bytes = limit > sock.rcv.queued ? limit - sock.rcv.queued : 0;
  // Frames are shared by all connections: with the pool nearly used up, windows close (half a frame of data each).
  const runtime::FramePool& pool = context.ip.pool;
  const uint32_t reserve = pool.size() / 16;
  const uint32_t free_frames = pool.free_count() > reserve ? pool.free_count() - reserve : 0;
  uint64_t pool_bytes = uint64_t{free_frames} * pool.frame_size() / 2;
  // One that holds nothing keeps one segment open all the same: else two hosts whose send queues took all the frames
  // would wait for each other for ever (Linux under memory pressure does not go below four).
  if (sock.rcv.queued == 0) pool_bytes = std::max<uint64_t>(pool_bytes, sock.rcv.advmss);
  free_bytes = static_cast<uint32_t>(std::min<uint64_t>(free_bytes, pool_bytes));
  // RFC 9293 §3.8.6.2.2: no small openings.
  if (free_bytes < std::min<uint32_t>(limit / 2, sock.rcv.advmss)) free_bytes = 0;
  // The field cannot say the bits below the scale: an opening is rounded down, but an edge that was promised is rounded
  // up, so that it does not move left.
  const uint32_t unit = 1u << sock.rcv.wscale;
  const uint32_t window = std::max((current + unit - 1) / unit * unit, free_bytes / unit * unit);
  return std::min(window, 65535u << sock.rcv.wscale);
}

void TcpSendAck(TcpSock& sock, Nanos now_ns) { TransmitControl(sock, sock.snd.nxt, kTcpAck, now_ns); }

void TcpSendSyn(TcpSock& sock, Nanos now_ns) {
  const bool answer = sock.state == TcpState::kSynReceived;
  TransmitControl(sock, sock.snd.iss, answer ? kTcpSyn | kTcpAck : kTcpSyn, now_ns);
}

void TcpSendProbe(TcpSock& sock, Nanos now_ns) { TransmitControl(sock, sock.snd.una - 1, kTcpAck, now_ns); }

void TcpSendReset(TcpSock& sock, Nanos now_ns) {
  ++sock.context.counters.resets_out;
  TransmitControl(sock, sock.snd.nxt, kTcpRst | kTcpAck, now_ns);
}

void TcpSendResetFor(TcpContext& context, const TcpSegment& segment, Nanos now_ns) {
  runtime::Frame* frame = context.ip.pool.Alloc();
  if (frame == nullptr) {
    context.ip.outcomes.Count(DropReason::kTxNoFrame);
    return;
  }
  TcpHeader header{.source_port = segment.destination.port, .destination_port = segment.source.port};
  if (segment.has(kTcpAck)) {
    header.seq = segment.ack.value();
    header.flags = kTcpRst;
  } else {
    header.ack = segment.end().value();
    header.flags = kTcpRst | kTcpAck;
  }
  header.Emit(frame->Push(TcpHeader::kMinSize));
  ++context.counters.resets_out;
  Send(context.ip, frame, segment.destination.ip, segment.source, 0, now_ns);
}

bool TcpSendOneNew(TcpSock& sock, Nanos now_ns) {
  if (!TcpHasUnsent(sock)) return false;
  return SendHead(sock, UINT32_MAX, /*part=*/false, now_ns);
}

void TcpWriteXmit(TcpSock& sock, Nanos now_ns, bool override_timeout) {
  auto& snd = sock.snd;
  if (snd.path_generation != sock.context.ip.path_mtu.generation()) [[unlikely]] TcpSyncMss(sock);
  const bool idle = snd.nxt == snd.una;
  bool sent = false;
  if (idle && TcpHasUnsent(sock)) TcpSlowStartAfterIdle(sock, now_ns);
  if (sock.recovery.send_new) [[unlikely]] {
    // RFC 5682 §2.1, step 2.b: without new data conventional recovery goes on.
    sent = SendNew(sock, now_ns, override_timeout);
    if (snd.nxt <= sock.recovery.high_seq) sock.recovery.send_new = sock.recovery.frto = false;
  }
  if (!sock.recovery.send_new) {
    if (sock.board.retransmit_hint != nullptr) [[unlikely]] TcpXmitRetransmitQueue(sock, now_ns);
    sent |= SendNew(sock, now_ns, override_timeout);
  }
  if (sent || TcpWantsToSend(sock)) TcpCwndValidate(sock, now_ns);
  if (sent) {
    sock.usage.last_sent_ns = now_ns;
    if (idle || sock.timer_kind == TcpTimerKind::kLossProbe) TcpRearmRetransmit(sock, now_ns);
    (void)TcpScheduleLossProbe(sock, /*restart=*/false, now_ns);
  }
  // Nothing in flight that an ACK could come for, and something to send that pacing does not hold back: ask for the
  // window, or try again later when it is too small, the frame is still on the device or there was none to split it
  // with.
  const bool paced = sock.pacer != nullptr && sock.pacer->timer.armed();
  if (TcpHasUnsent(sock) && snd.nxt == snd.una && !paced && !sock.timer.armed()) TcpStartProbing(sock, now_ns);
}

}  // namespace weir::netstack
