// When a connection in TIME-WAIT makes way for one that we open.
#ifndef NETSTACK_TCP_TCP_TIME_WAIT_H_
#define NETSTACK_TCP_TCP_TIME_WAIT_H_

#include "netstack/tcp/tcp_sock.h"

namespace weir::netstack {

// With timestamps, whose clock has gone on since, the peer tells the new connection's segments from old ones (RFC 6191
// §2, RFC 7323 §5.1); its number begins behind all old ones. tcp_tw_reuse says whether (twsk_unique).
// `by_name`: the program named the port itself, and so wants it whatever the setting is (inet_hash_connect asks without
// a twp).
bool TcpTimeWaitReusable(const TcpSock& sock, bool by_name, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_TIME_WAIT_H_
