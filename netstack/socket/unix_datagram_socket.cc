#include "netstack/socket/unix_datagram_socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "netstack/socket/kernel_stack.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"

namespace weir {

using runtime::ErrnoStatus;

absl::StatusOr<UnixDatagramSocket> UnixDatagramSocket::Bind(netstack::KernelStack& stack, const UnixAddress& local,
                                                            std::optional<mode_t> mode) {
  runtime::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "cannot open a Unix socket");
  // Of an unnamed address only the family is left, with which the kernel chooses a name (autobind).
  absl::StatusOr<netstack::UnixBinding> binding = netstack::UnixBinding::Bind(fd.get(), SOCK_DGRAM, local, mode);
  if (!binding.ok()) return binding.status();
  UnixAddress::Sockaddr bound;
  bound.length = sizeof bound.address;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.address), &bound.length) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  UnixDatagramSocket socket;
  socket.local_ = UnixAddress::FromSockaddr(bound.address, bound.length);
  socket.binding_ = *std::move(binding);
  socket.backend_ = stack.AdoptUnixDatagram(fd.Release());
  return socket;
}

}  // namespace weir
