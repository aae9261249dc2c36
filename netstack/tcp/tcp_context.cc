#include "netstack/tcp/tcp_context.h"

#include <algorithm>
#include <utility>

#include "netstack/tcp/tcp_extra.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_keepalive.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_mtu_probe.h"
#include "netstack/tcp/tcp_pacing.h"
#include "netstack/tcp/tcp_timer.h"

namespace weir::netstack {
namespace {

using QueueNode = runtime::ListNode<TcpQueueTag>;

void Unlink(TcpSock& sock) {
  if (static_cast<ReadySock&>(sock).linked()) static_cast<ReadySock&>(sock).Unlink();
  if (static_cast<QueueNode&>(sock).linked()) static_cast<QueueNode&>(sock).Unlink();
  auto& output = static_cast<runtime::ListNode<TcpOutputTag>&>(sock);
  if (output.linked()) output.Unlink();
  if (sock.loss != nullptr && sock.loss->linked()) sock.loss->Unlink();
}

}  // namespace

TcpSock::TcpSock(TcpContext& context)
    : TcpSockFront(context), Timer(&TcpTimerFired) {
  congestion.Use(context.settings.congestion_control);
  rcv.buffer = context.settings.receive_buffer;
  snd.buffer = context.settings.send_buffer;
}

TcpContext::TcpContext(IpContext& ip, const TcpSettings& settings)
    : ip(ip),
      settings(settings),
      demux(ip.secret, settings.max_sockets),
      time_wait(ip.timers, std::clamp(settings.max_tw_buckets, 1u, settings.max_sockets)),
      fast_open_cache(ip.secret, (settings.fastopen & kTcpFastOpenClient) != 0) {
  ip.pool.SetOnReturn(runtime::FrameHolder::Kind::kTcp, &TcpFrameBack);
}

TcpContext::~TcpContext() {
  demux.ForEach([this](TcpSock& sock) { Free(sock); });
  FreeDead();
  ip.ForgetHolders();
  while (!leftovers.empty()) FreeLeftover(leftovers.front());
}

TcpSock* TcpContext::Alloc() {
  // Those that went into TIME-WAIT in this burst are still there: their blocks would not make room.
  if (sockets >= settings.max_sockets) return nullptr;
  if (connections() >= settings.max_sockets) {
    if (!time_wait.RemoveOldest()) return nullptr;
    ++counters.time_wait_recycled;
  }
  ++sockets;
  return new TcpSock(*this);
}

bool TcpContext::AddOrphan(TcpSock& sock) {
  if (orphans >= settings.max_orphans) return false;
  ++orphans;
  sock.counted_as_orphan = true;
  return true;
}

void TcpContext::NoOrphan(TcpSock& sock) {
  if (!sock.counted_as_orphan) return;
  sock.counted_as_orphan = false;
  --orphans;
}

void TcpContext::Free(TcpSock& sock) {
  TcpSetPacing(sock, 0);
  TcpCancelTimers(sock);
  TcpStopKeepAlive(sock);
  NoOrphan(sock);
  demux.Remove(sock);
  Unlink(sock);
  sock.state = TcpState::kClosed;
  dead.PushBack(sock);
}

void TcpContext::FreeDead() {
  while (TcpSock* sock = dead.PopFront()) {
    Unlink(*sock);
    TcpCancelTimers(*sock);
    TcpFreeExtra(*sock);
    TcpFreeLoss(*sock);
    TcpFreeMtuProbe(*sock);
    --sockets;
    if (sock->held() > 0) {
      // With nothing in its queues: it may be freed where no frame may be given back.
      sock->receive_queue.Clear();
      sock->send_queue.Clear();
      sock->BecomeLeftover();
      leftovers.PushBack(*sock);
    } else {
      delete sock;
    }
  }
}

void TcpContext::FreeLeftover(TcpSock& sock) {
  static_cast<QueueNode&>(sock).Unlink();
  delete &sock;
}

}  // namespace weir::netstack
