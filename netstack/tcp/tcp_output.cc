#include "netstack/tcp/tcp_output.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "netstack/ip/ip_dst.h"
#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_cwnd_validate.h"
#include "netstack/tcp/tcp_delack.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_nagle.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_recovery.h"
#include "netstack/tcp/tcp_retransmit.h"
#include "netstack/tcp/tcp_sack.h"
#include "netstack/tcp/tcp_scoreboard.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"
#include "netstack/tcp/tcp_tlp.h"
#include "netstack/tcp/tcp_urgent.h"
#include "netstack/wire/checksum.h"
#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/tcp.h"

namespace weir::netstack {
namespace {

// The interface that the peer's address is said to be on; nullptr: none is.
Interface* ScopeOf(const TcpSock& sock) { return sock.context.ip.FindInterface(sock.remote.scope_id); }

// Whether sock.dst says how to reach the peer; looks for it where it does not.
bool Way(TcpSock& sock) {
  if (!IpDstValid(sock.context.ip, sock.dst)) IpDstLookup(sock.context.ip, sock.remote.ip, ScopeOf(sock), sock.dst);
  return sock.dst.neighbour != nullptr;
}

// Puts the checksum into a frame that begins at its TCP header and of which everything sums up to `sum`. Segments are
// summed as they are made: to read a header that was just written makes the processor wait.
void Finish(runtime::Frame& frame, ChecksumSum sum, const IpAddress& source, const IpAddress& destination) {
  sum += PseudoHeaderSum(source, destination, kProtocolTcp, frame.len);
  StoreChecksum(frame.data + TcpHeader::kChecksumOffset, FinishChecksum(sum));
}

// The one option of most segments, in front of `frame`; returns its sum.
ChecksumSum PushTimestamps(runtime::Frame& frame, uint32_t ts_val, uint32_t ts_ecr) {
  const uint32_t words[] = {TcpOptions::kAlignedTimestamps, ts_val, ts_ecr};
  std::byte* at = frame.Push(TcpOptions::kTimestampsSize);
  for (size_t i = 0; i < std::size(words); ++i) runtime::StoreBe32(at + 4 * i, words[i]);
  return SumWord(words[0]) + SumWord(words[1]) + SumWord(words[2]);
}

// The options of any segment but a SYN, in front of `frame`; returns their sum, and says whether SACK blocks found no
// room.
ChecksumSum PushOptions(TcpSock& sock, runtime::Frame& frame, Nanos now_ns, bool* sack_left) {
  if (TcpHasSackBlocks(sock)) [[unlikely]] {
    std::byte options[TcpOptions::kMaxSize];
    const size_t size = TcpWriteOptions(sock, options, frame.len, now_ns, sack_left);
    std::memcpy(frame.Push(static_cast<uint32_t>(size)), options, size);
    return SumBytes({options, size});
  }
  return sock.ts.ok ? PushTimestamps(frame, TcpTimestamp(sock, now_ns), sock.ts.recent) : 0;
}

ChecksumSum PushSynOptions(TcpSock& sock, runtime::Frame& frame, Nanos now_ns) {
  std::byte options[TcpOptions::kMaxSize];
  const size_t size = TcpWriteSynOptions(sock, options, now_ns);
  std::memcpy(frame.Push(static_cast<uint32_t>(size)), options, size);
  return SumBytes({options, size});
}

// Header in front of `frame`, which begins at its payload and of which one reference is taken over. What the segment
// says about receiving is then said: no ACK is owed any more (tcp_transmit_skb).
void Transmit(TcpSock& sock, runtime::Frame* frame, Seq seq, uint8_t flags, Nanos now_ns) {
  TcpContext& context = sock.context;
  const bool syn = (flags & kTcpSyn) != 0;
  const uint32_t payload = frame->len;
  bool sack_left = false;
  uint8_t ecn = kEcnNotEct;
  flags |= syn ? TcpEcnSynFlags(sock) : TcpEcnSendFlags(sock, payload > 0 && seq == sock.snd.nxt, &ecn);
  ChecksumSum sum = SumBytes(frame->bytes());
  sum += syn ? PushSynOptions(sock, *frame, now_ns) : PushOptions(sock, *frame, now_ns, &sack_left);
  TcpHeader header{.source_port = sock.local.port,
                   .destination_port = sock.remote.port,
                   .seq = seq.value(),
                   .header_size = static_cast<uint8_t>(TcpHeader::kMinSize + frame->len - payload),
                   .flags = flags};
  if ((flags & kTcpAck) != 0) {
    sock.rcv.wnd = TcpSelectWindow(sock);
    sock.rcv.wup = sock.rcv.nxt;
    header.ack = sock.rcv.nxt.value();
    sock.ack_now = sock.ack_now && sack_left;
    sock.ack_delayed = false;
    TcpCancelDelack(sock);
  }
  // RFC 7323 §2.2: the window of a SYN is never scaled, and no more than its field says is promised.
  // Data may go between two such (tcp_fast_open.h): then all of them say the same, in the unit of what is scaled.
  if (syn || sock.state == TcpState::kSynReceived) {
    const uint32_t unit = sock.fast_open.pending ? 1u << sock.rcv.wscale : 1;
    sock.rcv.wnd = std::min<uint32_t>(sock.rcv.wnd, 65535 / unit * unit);
  }
  header.window = static_cast<uint16_t>(sock.rcv.wnd >> (syn ? 0 : sock.rcv.wscale));
  if (sock.extra != nullptr && sock.extra->urg_out.sending) [[unlikely]] TcpPointToUrg(sock, seq, &header);
  ++sock.stats.segs_out;
  sock.stats.bytes_sent += payload;
  sum += header.Emit(frame->Push(TcpHeader::kMinSize));
  Finish(*frame, sum, sock.local.ip, sock.remote.ip);
  ++context.counters.segments_out;
  const bool may_cut = sock.mtu_discover == TcpMtuDiscover::kDont;
  const IpFlow flow{.source = sock.local.ip,
                    .destination = sock.remote.ip,
                    .protocol = kProtocolTcp,
                    .tos = static_cast<uint8_t>(sock.dscp << 2 | ecn),
                    .ttl = sock.ttl,
                    .pmtu_discovery = may_cut ? PmtuDiscovery::kDont : PmtuDiscovery::kDo,
                    .out = nullptr};
  context.ip.CountFailure(IpQueueXmit(context.ip, frame, flow, sock.remote.scope_id, sock.dst, now_ns));
}

runtime::Frame* AllocControl(TcpContext& context, TcpSock* sock) {
  runtime::Frame* frame = TcpAllocFrame(context, sock, 0);
  if (frame == nullptr) context.ip.outcomes.Count(DropReason::kTxNoFrame);
  return frame;
}

// A segment of no connection, with its options in `frame`, which sum up to `sum`.
void TransmitAlone(TcpContext& context, runtime::Frame* frame, TcpHeader header, ChecksumSum sum,
                   const Endpoint& source, const Endpoint& destination, uint8_t tos, Nanos now_ns) {
  header.source_port = source.port;
  header.destination_port = destination.port;
  sum += header.Emit(frame->Push(TcpHeader::kMinSize));
  const IpFlow flow{.source = source.ip,
                    .destination = destination.ip,
                    .protocol = kProtocolTcp,
                    .tos = tos,
                    .out = context.ip.FindInterface(destination.scope_id)};
  Finish(*frame, sum, flow.source, flow.destination);
  context.ip.CountFailure(IpOutput(context.ip, frame, flow, now_ns));
}

// A segment without data. Without a frame nothing is sent: the timer, or the peer, asks again.
void TransmitControl(TcpSock& sock, Seq seq, uint8_t flags, Nanos now_ns) {
  runtime::Frame* frame = AllocControl(sock.context, &sock);
  if (frame == nullptr) return;
  Transmit(sock, frame, seq, flags, now_ns);
}

// The FIN that no data carries gets a frame of its own: then it is sent again like everything else.
bool AppendFin(TcpSock& sock) {
  runtime::Frame* frame = AllocControl(sock.context, &sock);
  if (frame == nullptr) return false;
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
  if (cb.length > usable && !(part && usable > 0 && TcpFragment(sock, frame, static_cast<uint16_t>(usable)))) return false;
  // The FIN counts in the window.
  if (snd.fin && frame->next == nullptr && cb.length < usable) cb.flags |= TcpTxCb::kFin;
  if (cb.size() > usable || !TcpTransmitFrame(sock, frame, now_ns)) return false;
  sock.send_head = frame->next;
  snd.nxt = cb.end();
  TcpPacketSent(sock);
  TcpNagleSent(sock, cb.length, snd.nxt);
  if (TcpInCwndReduction(sock)) sock.loss->prr.OnSent(cb.size());
  return true;
}

// New data, as far as the windows allow. Returns whether some was sent.
bool SendNew(TcpSock& sock, Nanos now_ns, bool override_timeout) {
  auto& snd = sock.snd;
  bool sent = false;
  if (sock.mtu_probe != nullptr && TcpPacingAllows(sock, now_ns)) [[unlikely]] {
    const TcpMtuProbeSend probe = TcpSendMtuProbe(sock, now_ns);
    if (probe == TcpMtuProbeSend::kWait) return false;
    sent = probe == TcpMtuProbeSend::kSent;
  }
  while (TcpHasUnsent(sock) && TcpPacketFits(sock) && TcpPacingAllows(sock, now_ns)) {
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
    // RFC 7413 §4.2.2: the answer need not wait for the handshake's end.
    if (sock.fast_open.pending && TcpHasUnsent(sock)) TcpWriteXmit(sock, now_ns);
    return;
  }
  if (sock.state == TcpState::kSynSent) {
    if (sock.fast_open.deferred && (TcpHasUnsent(sock) || sock.reader != nullptr)) TcpFastOpenSyn(sock, now_ns);
    return;
  }
  TcpWriteXmit(sock, now_ns);
  if (!sock.ack_now && !sock.ack_delayed) return;
  // RFC 5681 §4.2: an ACK for at least every second full-sized segment.
  const auto unacked = static_cast<uint32_t>(sock.rcv.nxt - sock.rcv.wup);
  if (sock.ack_now || unacked >= 2u * sock.rcv.mss) return TcpSendAck(sock, now_ns);
  if (sock.delack_ns == kNever) TcpArmDelack(sock, now_ns + TcpDelayOfAck(sock));
}

}  // namespace

bool TcpTransmitFrame(TcpSock& sock, runtime::Frame* frame, Nanos now_ns, uint16_t most) {
  if (frame->tx_pending > 0) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  const uint16_t length = std::min(cb.length, most);
  if (cb.sent_ns != 0) {
    if (cb.retransmits < 255) ++cb.retransmits;
    TcpCountRetransmit(sock, length);
    ++sock.context.counters.retransmits;
  }
  cb.sent_ns = now_ns;
  uint8_t flags = kTcpAck;
  // The end of what there is to send; a FIN by itself may be behind it.
  if (cb.length > 0 && (frame->next == nullptr || frame->next->Cb<TcpTxCb>().length == 0)) flags |= kTcpPsh;
  if (cb.has(TcpTxCb::kFin) && length == cb.length) flags |= kTcpFin;
  frame->data = frame->base + cb.offset;
  frame->len = length;
  runtime::Ref(frame);
  if (sock.state == TcpState::kSynSent) [[unlikely]] {
    Transmit(sock, frame, sock.snd.iss, kTcpSyn, now_ns);  // RFC 7413 §4.2.2: with the SYN
  } else {
    Transmit(sock, frame, cb.seq, flags, now_ns);
  }
  TcpPacingSent(sock, length, now_ns);
  return true;
}

bool TcpFragment(TcpSock& sock, runtime::Frame* frame, uint16_t length) {
  if (frame->tx_pending > 0) return false;
  // What lies at una has to go, for anything to come back; the others leave frames for ACKs.
  const uint32_t reserve = frame == sock.send_queue.head() ? 1 : TcpFrameFloor(sock.context.ip.pool);
  runtime::Frame* rest = TcpAllocFrame(sock.context, &sock, reserve);
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
  TcpPacketSplit(sock, rest_cb);
  sock.send_queue.InsertAfter(frame, rest);
  return true;
}

bool TcpFitToMss(TcpSock& sock, runtime::Frame* frame) {
  return frame->Cb<TcpTxCb>().length <= sock.snd.mss || TcpFragment(sock, frame, sock.snd.mss);
}

bool TcpMakeTailroom(const TcpSock& sock, runtime::Frame* frame, uint32_t length) {
  if (frame->refs != 1 || frame->tx_pending != 0) return false;
  const uint32_t size = sock.context.ip.pool.frame_size();
  if (length > size - runtime::kTxHeadroom) return false;
  auto& cb = frame->Cb<TcpTxCb>();
  if (cb.offset + length > size) {
    std::memmove(frame->base + runtime::kTxHeadroom, frame->base + cb.offset, cb.length);
    cb.offset = runtime::kTxHeadroom;
  }
  return true;
}

void TcpTakeFromNext(TcpSock& sock, runtime::Frame* frame, uint16_t n) {
  auto& cb = frame->Cb<TcpTxCb>();
  runtime::Frame* next = frame->next;
  auto& next_cb = next->Cb<TcpTxCb>();
  std::memcpy(frame->base + cb.offset + cb.length, next->base + next_cb.offset, n);
  sock.context.ip.copied_bytes += n;
  cb.length = static_cast<uint16_t>(cb.length + n);
  next_cb.seq += n;
  next_cb.offset = static_cast<uint16_t>(next_cb.offset + n);
  next_cb.length = static_cast<uint16_t>(next_cb.length - n);
  if (next_cb.length == 0) runtime::Unref(sock.send_queue.RemoveAfter(frame));
}

void TcpFlush(TcpContext& context, Nanos now_ns) {
  while (TcpSock* sock = context.output.PopFront()) {
    FlushSock(*sock, now_ns);
    TcpReleaseLoss(*sock);
  }
  context.FreeDead();
  TcpReclaim(context);
  // A quarter of the pool's reserve is enough for one frame each; whoever finds none again waits again.
  if (!context.short_of_frames.empty() && context.ip.pool.free_count() > TcpSendReserve(context.ip.pool)) {
    runtime::List<TcpSock, TcpQueueTag> waiting;
    waiting.Splice(context.short_of_frames);
    while (TcpSock* sock = waiting.PopFront()) context.ip.Ready(*sock, ReadySock::kWritable);
  }
}

// RFC 9293 §3.7.1: without options of IP and TCP. The MTU of the link, not of the path: it says what we can receive.
uint16_t TcpMss(TcpSock& sock) {
  IpContext& ip = sock.context.ip;
  const bool v4 = sock.remote.ip.is_v4();
  const Interface* out = Way(sock) ? sock.dst.neighbour->interface : RouteLookup(ip, sock.remote.ip, ScopeOf(sock)).out;
  const uint32_t mtu = out != nullptr ? out->mtu(v4) : v4 ? 576 : 1280;
  const uint32_t headers = TcpHeader::kMinSize + (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  return static_cast<uint16_t>(std::min<uint32_t>(mtu, 65535) - headers);
}

void TcpSyncMss(TcpSock& sock) {
  IpContext& ip = sock.context.ip;
  const bool v4 = sock.remote.ip.is_v4();
  uint32_t mtu = Way(sock) ? std::min<uint32_t>(sock.dst.mtu, sock.dst.neighbour->interface->mtu(v4))
                           : PathMtu(ip, sock.remote.ip, ScopeOf(sock));
  if (sock.mtu_probe != nullptr) sock.mtu_probe->search_high = std::min(sock.mtu_probe->search_high, mtu);
  mtu = std::min(mtu, TcpMtuSearchLow(sock));
  const size_t headers = TcpHeader::kMinSize + (v4 ? Ipv4Header::kMinSize : Ipv6Header::kSize);
  sock.snd.mss = sock.snd.peer_mss;
  // A segment lies in one frame, however large the link's are.
  mtu = std::min<uint32_t>(mtu, TcpFrameRoom(ip.pool) + headers + TcpFixedOptions(sock));
  if (mtu > headers) sock.snd.mss = static_cast<uint16_t>(std::min<size_t>(sock.snd.mss, mtu - headers));
  sock.snd.mss = static_cast<uint16_t>(std::max<uint32_t>(sock.snd.mss, sock.context.settings.min_snd_mss));
  sock.snd.mss = static_cast<uint16_t>(sock.snd.mss - std::min(TcpFixedOptions(sock), sock.snd.mss));
  sock.snd.path_generation = ip.path_mtu.generation();
}

uint32_t TcpSelectWindow(const TcpSock& sock) {
  const TcpContext& context = sock.context;
  const Seq right = sock.rcv.wup + sock.rcv.wnd;
  const uint32_t current = right > sock.rcv.nxt ? static_cast<uint32_t>(right - sock.rcv.nxt) : 0;
  const uint32_t limit = sock.rcv.buffer;
  const uint64_t used = sock.rcv.queued + TcpHeldBytes(sock);
  uint32_t free_bytes = limit > used ? static_cast<uint32_t>(limit - used) : 0;
  // Frames are shared by all connections: with the pool nearly used up, windows close (half a frame of data each). What a
  // program keeps is no more than what is left for others, so that one that gives nothing back has half in the end.
  const runtime::FramePool& pool = context.ip.pool;
  const uint32_t reserve = TcpReceiveReserve(pool);
  const uint32_t free_frames = pool.free_count() > reserve ? pool.free_count() - reserve : 0;
  const uint32_t share = free_frames > sock.held() ? free_frames - sock.held() : 0;
  uint64_t pool_bytes = uint64_t{share} * pool.frame_size() / 2;
  // One that holds nothing keeps one segment open all the same: else two hosts whose send queues took all the frames
  // would wait for each other for ever (Linux under memory pressure does not go below four).
  if (used == 0) pool_bytes = std::max<uint64_t>(pool_bytes, sock.rcv.advmss);
  free_bytes = static_cast<uint32_t>(std::min<uint64_t>(free_bytes, pool_bytes));
  // RFC 9293 §3.8.6.2.2: no small openings.
  if (free_bytes < std::min<uint32_t>(limit / 2, sock.rcv.advmss)) free_bytes = 0;
  if (sock.rcv.clamped) [[unlikely]] free_bytes = std::min(free_bytes, sock.extra->window_clamp);
  // The field cannot say the bits below the scale: an opening is rounded down, but an edge that was promised is rounded
  // up, so that it does not move left.
  const uint32_t below = (1u << sock.rcv.wscale) - 1;
  const uint32_t window = std::max((current + below) & ~below, free_bytes & ~below);
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
  runtime::Frame* frame = AllocControl(context, nullptr);
  if (frame == nullptr) return;
  TcpHeader header;
  if (segment.has(kTcpAck)) {
    header.seq = segment.ack.value();
    header.flags = kTcpRst;
  } else {
    header.ack = segment.end().value();
    header.flags = kTcpRst | kTcpAck;
  }
  ++context.counters.resets_out;
  TransmitAlone(context, frame, header, 0, segment.destination, segment.source, /*tos=*/0, now_ns);
}

void TcpSendTimeWaitAck(TcpContext& context, const TcpTimeWait& block, Nanos now_ns) {
  runtime::Frame* frame = AllocControl(context, nullptr);
  if (frame == nullptr) return;
  const uint32_t clock = static_cast<uint32_t>(now_ns / kMillisecond) + block.ts_offset;
  const ChecksumSum sum = block.ts_ok ? PushTimestamps(*frame, clock, block.ts_recent) : 0;
  const TcpHeader header{.seq = block.snd_nxt.value(),
                         .ack = block.rcv_nxt.value(),
                         .header_size = static_cast<uint8_t>(TcpHeader::kMinSize + frame->len),
                         .flags = kTcpAck,
                         .window = block.window};
  ++context.counters.segments_out;
  TransmitAlone(context, frame, header, sum, block.local, block.remote, block.tos, now_ns);
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
    if (TcpWantsRetransmit(sock)) [[unlikely]] TcpXmitRetransmitQueue(sock, now_ns);
    sent |= SendNew(sock, now_ns, override_timeout);
  }
  if (sent || TcpWantsToSend(sock)) TcpCwndValidate(sock, now_ns);
  if (sent) {
    if (snd.notsent_full) TcpNotSentWake(sock);
    sock.usage.last_sent_ms = static_cast<uint32_t>(now_ns / kMillisecond);
    if (idle || sock.timer_kind == TcpTimerKind::kLossProbe) TcpRearmRetransmit(sock, now_ns);
    (void)TcpScheduleLossProbe(sock, /*restart=*/false, now_ns);
  }
  // Nothing in flight that an ACK could come for, and something to send that pacing does not hold back: ask for the
  // window, or try again later when it is too small, the frame is still on the device or there was none to split it
  // with.
  const TcpPacer* pacer = TcpPacerOf(sock);
  const bool paced = pacer != nullptr && pacer->timer.armed();
  if (TcpHasUnsent(sock) && snd.nxt == snd.una && !paced && sock.timer_kind == TcpTimerKind::kNone) TcpStartProbing(sock, now_ns);
}

}  // namespace weir::netstack
