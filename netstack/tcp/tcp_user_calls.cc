#include "netstack/tcp/tcp_user_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "netstack/ip/ip_output.h"
#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_handshake.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_input.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_options.h"
#include "netstack/tcp/tcp_output.h"
#include "netstack/tcp/tcp_time_wait.h"
#include "netstack/tcp/tcp_timer.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {
namespace {

using QueueNode = runtime::ListNode<TcpQueueTag>;

// Frames that a connection may keep in its send queue; see MaxQueuedFrames of the receive queue.
uint32_t MaxSendFrames(const TcpSock& sock) { return std::max<uint32_t>(768, sock.snd.buffer / 682); }

bool FramesShort(const TcpContext& context) {
  return context.ip.pool.free_count() <= TcpSendReserve(context.ip.pool);
}

// The first frame of a connection that has nothing to send may come from the reserve: something must be under way for
// acknowledgments to come, which give frames back.
runtime::Frame* AllocToSend(TcpSock& sock) {
  const runtime::FramePool& pool = sock.context.ip.pool;
  return TcpAllocFrame(sock.context, &sock, sock.send_queue.empty() ? TcpReceiveReserve(pool) : TcpSendReserve(pool));
}

uint32_t Unsent(const TcpSock& sock) { return static_cast<uint32_t>(sock.snd.write_seq - sock.snd.nxt); }

size_t SendRoom(const TcpSock& sock) {
  const auto queued = static_cast<uint32_t>(sock.snd.write_seq - sock.snd.una);
  const uint32_t limit = sock.snd.buffer;
  if (queued >= limit || sock.send_queue.count() >= MaxSendFrames(sock)) return 0;
  const uint32_t unsent = Unsent(sock), lowat = TcpNotSentLowat(sock);
  return unsent < lowat ? std::min(limit - queued, lowat - unsent) : 0;
}

// The program has more than there is room for: notes whether sending will make some, not only an acknowledgment.
void WaitForRoom(TcpSock& sock) { sock.snd.notsent_full = Unsent(sock) >= TcpNotSentLowat(sock); }

void AppendToSendQueue(TcpSock& sock, runtime::Frame* frame, std::span<const std::byte> bytes) {
  frame->Cb<TcpTxCb>() = {.sent_ns = 0,
                          .seq = sock.snd.write_seq,
                          .length = static_cast<uint16_t>(bytes.size()),
                          .offset = static_cast<uint16_t>(bytes.data() - frame->base),
                          .retransmits = 0,
                          .flags = 0};
  sock.send_queue.PushBack(frame);
  if (sock.send_head == nullptr) sock.send_head = frame;
  sock.snd.write_seq += static_cast<uint32_t>(bytes.size());
  sock.context.WantOutput(sock);
}

// Room behind the last frame's bytes, when those were never sent: small writes share a segment.
std::span<std::byte> TailRoom(TcpSock& sock) {
  runtime::Frame* tail = sock.send_queue.tail();
  if (tail == nullptr || sock.send_head == nullptr || tail->refs != 1 || tail->tx_pending != 0) return {};
  const auto& cb = tail->Cb<TcpTxCb>();
  if (cb.sent_ns != 0 || cb.length >= sock.snd.mss) return {};
  const size_t used = size_t{cb.offset} + cb.length;
  const size_t room = std::min<size_t>(sock.context.ip.pool.frame_size() - used, sock.snd.mss - cb.length);
  return {tail->base + used, room};
}

// Copies up to `bytes.size()` to the end of the send queue; returns how much, less only for want of a frame.
size_t CopyToSendQueue(TcpSock& sock, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    std::span<std::byte> room = TailRoom(sock);
    if (room.empty()) {
      runtime::Frame* frame = AllocToSend(sock);
      if (frame == nullptr) break;
      AppendToSendQueue(sock, frame, {frame->data, 0});
      continue;
    }
    const size_t n = std::min(room.size(), bytes.size() - done);
    std::memcpy(room.data(), bytes.data() + done, n);
    auto& cb = sock.send_queue.tail()->Cb<TcpTxCb>();
    cb.length = static_cast<uint16_t>(cb.length + n);
    sock.snd.write_seq += static_cast<uint32_t>(n);
    done += n;
  }
  sock.context.ip.copied_bytes += done;
  return done;
}

// Sees to it that the sender is woken when frames come back, as no acknowledgment may.
void WaitForFrames(TcpSock& sock) {
  if (!static_cast<QueueNode&>(sock).linked()) sock.context.short_of_frames.PushBack(sock);
}

// Whether headers can be written in front of these bytes and the frame be kept for retransmission.
bool SendableInPlace(const TcpSock& sock, const runtime::Frame& frame, std::span<const std::byte> bytes) {
  return frame.refs == 1 && frame.tx_pending == 0 && frame.pool == &sock.context.ip.pool &&
         bytes.size() <= sock.snd.mss && bytes.data() - frame.base >= runtime::kTxHeadroom;
}

// RFC 9293 §3.6.1, RFC 2525 §2.17: data that was not read. SO_LINGER with a time of 0, unless all is said and only an
// ACK is missing (tcp_need_reset). And what would be one orphan too many (tcp_check_oom).
bool ResetsAtClose(TcpSock& sock, bool unread) {
  const bool all_said = sock.state == TcpState::kClosing || sock.state == TcpState::kLastAck;
  if (unread || (sock.reset_on_close && !(all_said && !TcpHasUnsent(sock)))) return true;
  if (sock.context.AddOrphan(sock)) return false;
  ++sock.context.counters.orphans_reset;
  return true;
}

// The address that a connection to `remote` comes from: `bound`, or by the route. 0 or an errno.
int ChooseAddress(TcpContext& context, const Endpoint& remote, const Endpoint& bound, IpAddress* ip) {
  if (remote.ip.is_any() || remote.ip.is_multicast()) return ENETUNREACH;
  // "::" stands for either version.
  if (bound.ip != IpAddress() && bound.ip.is_v4() != remote.ip.is_v4()) return EINVAL;
  if (!bound.ip.is_any() && !context.ip.IsLocal(bound.ip)) return EADDRNOTAVAIL;
  Interface* out = context.ip.FindInterface(remote.scope_id);
  if (!SelectSource(context.ip, remote.ip, out, ip)) return ENETUNREACH;
  if (!bound.ip.is_any()) *ip = bound.ip;
  return 0;
}

// Whether no connection goes from `local` to `remote`, or one that makes way (__inet_check_established). `hash` is theirs.
bool EndpointsFree(TcpContext& context, uint32_t hash, const Endpoint& local, const Endpoint& remote, bool by_name,
                   Nanos now_ns) {
  if (context.demux.Find(hash, local, remote) != nullptr) return false;
  const TcpTimeWait* old = context.time_wait.Find(hash, local, remote);
  return old == nullptr || TcpTimeWaitReusable(context, *old, by_name, now_ns);
}

// The port: `bound`, or when that is 0 one that no connection from local->ip to `remote` has; and the hash of both
// endpoints. 0 or an errno.
int ChoosePort(TcpContext& context, const Endpoint& remote, uint16_t bound, Nanos now_ns, Endpoint* local,
               uint32_t* hash) {
  const auto try_port = [&](uint16_t port) {
    local->port = port;
    *hash = context.demux.Hash(*local, remote);
    return EndpointsFree(context, *hash, *local, remote, /*by_name=*/bound != 0, now_ns);
  };
  if (bound != 0) return try_port(bound) && !context.demux.ListenerOverlaps(*local) ? 0 : EADDRINUSE;
  // RFC 6056 §3.3.3: the first try depends on the peer and on a secret, the following ones go up from there.
  const uint32_t start = context.demux.Hash(*local, remote) + static_cast<uint32_t>(context.port_draws++);
  const TcpPortRange& ports = context.settings.local_ports;
  for (uint32_t tries = 0; tries < ports.count(); ++tries) {
    const uint16_t port = ports.At(start + tries);
    // What the peer sends is to come back to this shard.
    const PeerShards* peers = context.ip.peers;
    if (peers != nullptr && !peers->IsHome({local->ip, port}, remote)) continue;
    if (try_port(port)) return 0;
  }
  return EADDRNOTAVAIL;
}

}  // namespace

int TcpListen(TcpContext& context, TcpListenSock& listener, Endpoint local, int backlog) {
  if (!local.ip.is_any() && !context.ip.IsLocal(local.ip)) return EADDRNOTAVAIL;
  PeerShards* peers = context.ip.peers;
  const bool drawn = local.port == 0;
  if (drawn) {
    const TcpPortRange& ports = context.settings.local_ports;
    for (uint32_t tries = 0; tries < ports.count() && local.port == 0; ++tries) {
      const uint64_t draw[] = {++context.port_draws};
      const uint16_t port = ports.At(runtime::SipHash(context.ip.secret, draw));
      if (context.demux.ListenerOverlaps({local.ip, port}, listener.v6only)) continue;
      if (peers == nullptr || peers->UsePortAlone(PortSpace::kTcp, port)) local.port = port;
    }
    if (local.port == 0) return EADDRINUSE;
  } else if (context.demux.ListenerOverlaps(local, listener.v6only)) {
    return EADDRINUSE;
  }
  listener.local = local;
  listener.backlog = static_cast<uint32_t>(std::clamp(backlog, 1, 65535));
  context.demux.InsertListener(listener);
  if (drawn && peers != nullptr) peers->LeavePort(PortSpace::kTcp, local.port);  // the listener uses it
  return 0;
}

void TcpUnlisten(TcpContext& context, TcpListenSock& listener, Nanos now_ns) {
  for (auto* queue : {&listener.syn_queue, &listener.accept_queue}) {
    while (!queue->empty()) {
      TcpSock& sock = queue->front();
      TcpSendReset(sock, now_ns);
      TcpDone(sock, ECONNRESET);
    }
  }
  if (listener.fast_open_pending > 0) {
    context.demux.ForEach([&](TcpSock& sock) {
      if (sock.listener == &listener) sock.listener = nullptr;
    });
  }
  context.demux.RemoveListener(listener);
  if (listener.linked()) listener.Unlink();
}

TcpSock* TcpAccept(TcpListenSock& listener) {
  TcpSock* sock = listener.accept_queue.PopFront();
  if (sock == nullptr) return nullptr;
  TcpLeaveListener(*sock);
  sock->fast_open.accepted = sock->fast_open.pending;
  return sock;
}

TcpSock* TcpConnect(TcpContext& context, const Endpoint& remote, Nanos now_ns, int* error,
                    const TcpConnectOptions& options, TcpSock* sock) {
  Endpoint local;
  uint32_t hash = 0;
  *error = ChooseAddress(context, remote, options.local, &local.ip);
  if (*error == 0) *error = ChoosePort(context, remote, options.local.port, now_ns, &local, &hash);
  if (*error != 0) return nullptr;
  *error = ENOBUFS;
  const bool given = sock != nullptr;
  if (!given) sock = context.Alloc();
  if (sock == nullptr) return nullptr;
  TcpTimeWait* old = context.time_wait.Find(hash, local, remote);  // unless it made room for this one
  sock->local = local;
  sock->remote = remote;
  sock->rcv.advmss = TcpMss(*sock);
  sock->state = TcpState::kSynSent;
  const auto set = [&](TcpSockOption option, uint64_t value) {
    *error = TcpSetOption(*sock, option, value);
    return *error == 0;
  };
  if (!options.ForEachOption(set)) {
    sock->state = TcpState::kClosed;
    if (!given) context.Free(*sock);
    return nullptr;
  }
  TcpOfferOptions(*sock);
  TcpInitTimestamps(*sock);
  sock->rcv.wnd = std::min<uint32_t>(TcpSelectWindow(*sock), 65535);  // of a SYN: not scaled
  if (old != nullptr) {
    TcpInitSend(*sock, now_ns, old->snd_nxt);
    sock->ts.recent = old->ts_recent;  // echoed by the SYN, as Linux does
    ++context.counters.time_wait_reused;
    context.time_wait.Remove(*old);
  } else {
    TcpInitSend(*sock, now_ns);
  }
  context.demux.Insert(*sock, hash);
  if (options.fast_open && TcpFastOpenConnect(*sock, now_ns)) return sock;
  TcpSendSyn(*sock, now_ns);
  TcpRearmRetransmit(*sock, now_ns);
  return sock;
}

bool TcpSendmsg(TcpSock& sock, std::span<const iovec> from, size_t* sent) {
  size_t skip = *sent;
  for (const iovec& piece : from) {
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    std::span<const std::byte> bytes(static_cast<const std::byte*>(piece.iov_base) + skip, piece.iov_len - skip);
    skip = 0;
    const size_t n = std::min(bytes.size(), SendRoom(sock));
    const size_t done = CopyToSendQueue(sock, bytes.first(n));
    *sent += done;
    if (done < n) WaitForFrames(sock);
    if (done < bytes.size()) {
      WaitForRoom(sock);
      return false;
    }
  }
  return true;
}

bool TcpSendFrames(TcpSock& sock, runtime::FrameChain& chain) {
  while (!chain.empty()) {
    const size_t room = SendRoom(sock);
    if (room == 0) {
      WaitForRoom(sock);
      return false;
    }
    const iovec& slice = chain.buffers().front();
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(slice.iov_base), slice.iov_len);
    // With many frames queued or few free, small pieces share frames rather than keep one each.
    // The same when the last one waits for more to come (tcp_nagle.h).
    const bool share = sock.snd.held || sock.send_queue.count() >= MaxSendFrames(sock) / 2 || FramesShort(sock.context);
    const bool crowded = share &&
                         TailRoom(sock).size() >= bytes.size();
    if (!crowded && SendableInPlace(sock, *chain.front_frame(), bytes)) {
      std::span<std::byte> moved;
      runtime::Frame* frame = chain.PopFront(&moved);
      runtime::Discharge(frame);
      AppendToSendQueue(sock, frame, moved);
      continue;
    }
    const size_t n = std::min(bytes.size(), room);
    const size_t done = CopyToSendQueue(sock, bytes.first(n));
    chain.Consume(done);
    TcpGetExtra(sock).copied_bytes += done;
    if (done < n) {
      WaitForFrames(sock);
      return false;
    }
  }
  return true;
}

void TcpRecvmsg(TcpSock& sock, runtime::FrameChain& out) {
  TcpBeforeHandOver(sock);
  while (!sock.receive_queue.empty() && !out.full()) {
    runtime::Frame* frame = sock.receive_queue.PopFront();
    sock.rcv.queued -= frame->len;
    TcpHandOver(sock, frame);
    out.Append(frame, frame->bytes());
  }
}

size_t TcpRecvmsg(TcpSock& sock, std::span<const iovec> into, size_t skip) {
  size_t copied = 0, offset = skip;
  while (!sock.receive_queue.empty() && !into.empty()) {
    if (offset >= into.front().iov_len) {
      offset -= into.front().iov_len;
      into = into.subspan(1);
      continue;
    }
    runtime::Frame* frame = sock.receive_queue.head();
    const size_t n = std::min<size_t>(frame->len, into.front().iov_len - offset);
    std::memcpy(static_cast<std::byte*>(into.front().iov_base) + offset, frame->data, n);
    frame->Pull(static_cast<uint32_t>(n));
    sock.rcv.queued -= static_cast<uint32_t>(n);
    copied += n;
    offset += n;
    if (frame->len == 0) runtime::Unref(sock.receive_queue.PopFront());
  }
  sock.context.ip.copied_bytes += copied;
  return copied;
}

size_t TcpPeekmsg(TcpSock& sock, std::span<const iovec> into) {
  size_t copied = 0, offset = 0;
  for (runtime::Frame* frame = sock.receive_queue.head(); frame != nullptr; frame = frame->next) {
    std::span<const std::byte> bytes = frame->bytes();
    while (!bytes.empty() && !into.empty()) {
      const size_t n = std::min(bytes.size(), into.front().iov_len - offset);
      if (n > 0) std::memcpy(static_cast<std::byte*>(into.front().iov_base) + offset, bytes.data(), n);
      bytes = bytes.subspan(n);
      copied += n;
      offset += n;
      if (offset < into.front().iov_len) continue;
      into = into.subspan(1);
      offset = 0;
    }
  }
  sock.context.ip.copied_bytes += copied;
  return copied;
}

void TcpCleanupRbuf(TcpSock& sock) {
  if (sock.state != TcpState::kEstablished && sock.state != TcpState::kFinWait1 &&
      sock.state != TcpState::kFinWait2) {
    return;
  }
  const Seq right = sock.rcv.wup + sock.rcv.wnd;
  const uint32_t current = right > sock.rcv.nxt ? static_cast<uint32_t>(right - sock.rcv.nxt) : 0;
  // As Linux: an update is worth a segment when it doubles the window. What comes back of what the program keeps matters
  // to nothing else; and the window does not close before something else is read, and this looked at again.
  const bool tell = 2 * current <= sock.rcv.buffer;
  sock.set_tell(tell);
  if (!tell) return;
  const uint32_t window = TcpSelectWindow(sock);
  if (window == 0 || window < 2 * current) return;
  sock.context.WantAck(sock);
}

bool TcpSetCongestionControl(TcpSock& sock, std::string_view name) {
  const std::optional<TcpCongestionControl> control = TcpCongestionControlByName(name);
  if (control.has_value()) sock.congestion.Use(*control);
  return control.has_value();
}

void TcpShutdown(TcpSock& sock) {
  if (sock.send_shut) return;
  sock.send_shut = true;
  if (sock.state == TcpState::kEstablished) {
    sock.state = TcpState::kFinWait1;
  } else if (sock.state == TcpState::kCloseWait) {
    sock.state = TcpState::kLastAck;
  } else if (sock.state != TcpState::kSynSent && sock.state != TcpState::kSynReceived) {
    return;
  }  // else queued until ESTABLISHED (RFC 9293 §3.10.4)
  sock.snd.fin = true;
  sock.snd.write_seq += 1;
  sock.context.WantOutput(sock);
}

void TcpLinger(TcpSock& sock, Nanos now_ns) {
  sock.orphan = true;
  sock.reader = nullptr;
  if (static_cast<QueueNode&>(sock).linked()) static_cast<QueueNode&>(sock).Unlink();  // from short_of_frames
  const bool unread = !sock.receive_queue.empty();
  sock.receive_queue.Clear();
  if (sock.state == TcpState::kClosed) return;
  if (sock.state == TcpState::kSynSent) {
    // What was given to a connection that passed for open is still delivered.
    const bool given = sock.fast_open.early && sock.snd.write_seq != sock.snd.iss + 1;
    if (!given || !sock.context.AddOrphan(sock)) return TcpDone(sock, 0);
  } else if (ResetsAtClose(sock, unread)) {
    TcpSendReset(sock, now_ns);
    return TcpDone(sock, ECONNABORTED);
  }
  if (sock.state == TcpState::kFinWait2) {
    TcpArmTimer(sock, TcpTimerKind::kEnd, now_ns + TcpFinTimeout(sock));
  }
  TcpShutdown(sock);
}

bool TcpLingers(const TcpSock& sock) {
  switch (sock.state) {
    case TcpState::kSynSent:
    case TcpState::kSynReceived:  // the FIN waits for ESTABLISHED
    case TcpState::kFinWait1:
    case TcpState::kClosing:
    case TcpState::kLastAck:
      return true;
    default:
      return false;
  }
}

void TcpClose(TcpSock& sock, Nanos now_ns) {
  if (!sock.orphan) TcpLinger(sock, now_ns);
  sock.owner = nullptr;
  sock.on_ready = nullptr;
  if (sock.state == TcpState::kClosed) sock.context.Free(sock);
}

void TcpAbort(TcpSock& sock, Nanos now_ns) {
  if (sock.state == TcpState::kClosed) return;
  if (sock.state != TcpState::kSynSent) TcpSendReset(sock, now_ns);
  sock.receive_queue.Clear();
  sock.rcv.queued = 0;
  TcpDone(sock, ECONNABORTED);
}

}  // namespace weir::netstack
