// The states of a connection, and of its sender.
#ifndef NETSTACK_TCP_TCP_STATE_H_
#define NETSTACK_TCP_TCP_STATE_H_

#include <cstdint>

namespace weir::netstack {

// RFC 9293 §3.3.2. LISTEN is a TcpListenSock, TIME-WAIT a TcpTimeWait: of a TcpSock only the kernel's stack says it.
enum class TcpState : uint8_t {
  kClosed,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};

// States of the sender: tcp_recovery.h. In this order: the later, the worse.
enum class TcpCaState : uint8_t { kOpen, kDisorder, kCwr, kRecovery, kLoss };

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_STATE_H_
