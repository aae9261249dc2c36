// struct tcp_info of Linux, with what weir knows.
#ifndef TESTS_INTEROP_TCP_INFO_H_
#define TESTS_INTEROP_TCP_INFO_H_

#include <array>
#include <cstddef>

#include "netstack/tcp/tcp_sock.h"

namespace weir::interop {

inline constexpr size_t kTcpInfoSize = 248;  // of Linux 6.7 and later, as far as weir knows something
using TcpInfoBytes = std::array<std::byte, kTcpInfoSize>;

// Either may be nullptr: of a listener, or of neither (TCP_CLOSE).
// `opened`: by us. Linux counts our SYN among the bytes that were acknowledged then.
TcpInfoBytes MakeTcpInfo(const netstack::TcpSock* conn, const netstack::TcpListenSock* listener, bool opened,
                         Nanos now_ns);

}  // namespace weir::interop

#endif  // TESTS_INTEROP_TCP_INFO_H_
