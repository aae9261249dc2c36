// The user calls of RFC 9293 §3.10.1 to §3.10.6, without waiting: each does what it can now and says how much. Waiting
// is the socket layer's business. Linux: tcp.c.
#ifndef NETSTACK_TCP_TCP_USER_CALLS_H_
#define NETSTACK_TCP_TCP_USER_CALLS_H_

#include <sys/uio.h>

#include <span>
#include <string_view>

#include "netstack/tcp/tcp_context.h"
#include "runtime/buffer/frame_chain.h"

namespace weir::netstack {

// Passive OPEN. Returns 0, EADDRINUSE or EADDRNOTAVAIL; port 0 takes a free one.
int TcpListen(TcpContext& context, TcpListenSock& listener, Endpoint local, int backlog);
// Resets what nobody accepted.
void TcpUnlisten(TcpContext& context, TcpListenSock& listener, Nanos now_ns);
// The oldest established connection that nobody accepted, or nullptr.
TcpSock* TcpAccept(TcpListenSock& listener);

// Active OPEN: sends SYN. `*error` is ENETUNREACH, ENOBUFS, or one of options.local when nullptr is returned.
// options.fast_open: data may go with the SYN (tcp_fast_open.h); then that waits for some while fast_open.deferred.
// `sock`: from TcpContext::Alloc, to be that connection; nullptr: a new one. It stays the caller's when nullptr is returned.
TcpSock* TcpConnect(TcpContext& context, const Endpoint& remote, Nanos now_ns, int* error,
                    const TcpConnectOptions& options = {}, TcpSock* sock = nullptr);

// SEND. What the send buffer takes of `from`, starting at byte `*sent`, is copied into frames; advances `*sent`. True
// when all is taken.
bool TcpSendmsg(TcpSock& sock, std::span<const iovec> from, size_t* sent);
// The same for frames: those that can be sent as they lie are moved, others copied. True when `chain` is empty.
bool TcpSendFrames(TcpSock& sock, runtime::FrameChain& chain);

// RECEIVE. Moves what is queued to `out`, until that is full; or copies it to `into`, from byte `skip` of that on, and
// returns how much. TcpPeekmsg leaves it queued (MSG_PEEK).
void TcpRecvmsg(TcpSock& sock, runtime::FrameChain& out);
size_t TcpRecvmsg(TcpSock& sock, std::span<const iovec> into, size_t skip = 0);
size_t TcpPeekmsg(TcpSock& sock, std::span<const iovec> into);
// Opens the window again after data was read, when that is worth an ACK (tcp_cleanup_rbuf).
void TcpCleanupRbuf(TcpSock& sock);

// Another congestion control, by its Linux name; false when there is none of it (TCP_CONGESTION).
bool TcpSetCongestionControl(TcpSock& sock, std::string_view name);

// CLOSE, the sending half: FIN after all that was sent (tcp_shutdown).
void TcpShutdown(TcpSock& sock);
// The program ends the connection, but waits (SO_LINGER with a time): FIN, or RST when data was left unread (RFC 9293
// §3.6.1), which makes the error ECONNABORTED. Nothing is received any more. Its program is told of what happens as
// before, until TcpClose. Differs from Linux: it counts as an orphan from now on, in how often it retransmits.
void TcpLinger(TcpSock& sock, Nanos now_ns);
// Whether that goes on: what was sent, or the FIN, is not acknowledged (sk_stream_closing).
bool TcpLingers(const TcpSock& sock);
// The program lets go of the connection (tcp_close), after TcpLinger or with it. The block is freed when the connection
// is over.
void TcpClose(TcpSock& sock, Nanos now_ns);
// ABORT: RST (tcp_disconnect). The program still holds the block and closes it.
void TcpAbort(TcpSock& sock, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_USER_CALLS_H_
