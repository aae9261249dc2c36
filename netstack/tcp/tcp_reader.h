// TcpReader: a program's call that waits for data, as the connection knows it. It lives with the call.
#ifndef NETSTACK_TCP_TCP_READER_H_
#define NETSTACK_TCP_TCP_READER_H_

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace weir::netstack {

struct TcpReader {
  // The caller's memory, or empty: then it wants the frames. In-order bytes that come while it waits are copied there
  // and never enter the receive queue (the kernel's direct copy to the reader).
  std::span<const iovec> into;
  size_t copied = 0;
  bool peeks = false;  // the bytes stay in the queue: none is copied past it
  void* call = nullptr;  // whose it is, for the socket layer
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_TCP_READER_H_
