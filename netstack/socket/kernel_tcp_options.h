// Options of a TCP socket of the kernel, by their names in tcp_sock_options.h, and TCP_INFO.
#ifndef NETSTACK_SOCKET_KERNEL_TCP_OPTIONS_H_
#define NETSTACK_SOCKET_KERNEL_TCP_OPTIONS_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/tcp/tcp_sock_options.h"

namespace weir::netstack {

absl::Status SetKernelTcpOption(int fd, TcpSockOption option, uint64_t value);
absl::StatusOr<uint64_t> GetKernelTcpOption(int fd, TcpSockOption option);
absl::Status SetKernelKeepAlive(int fd, const std::optional<TcpKeepAlive>& times);
absl::StatusOr<std::optional<TcpKeepAlive>> GetKernelKeepAlive(int fd);
absl::Status SetKernelCongestionControl(int fd, std::string_view name);
absl::StatusOr<std::string> GetKernelCongestionControl(int fd);
absl::StatusOr<TcpInfo> KernelTcpInfo(int fd);

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_KERNEL_TCP_OPTIONS_H_
