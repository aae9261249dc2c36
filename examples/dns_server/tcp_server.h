// Answers queries over TCP (RFC 7766): as many on a connection as the client likes, in their order, several answers in
// a segment where several queries came together.
#ifndef EXAMPLES_DNS_SERVER_TCP_SERVER_H_
#define EXAMPLES_DNS_SERVER_TCP_SERVER_H_

#include <chrono>
#include <cstddef>

#include "absl/status/status.h"
#include "examples/dns_server/answer_table.h"
#include "netstack/socket/tcp_listener.h"
#include "runtime/core/task.h"

namespace dns_server {

struct TcpLimits {
  // How long a connection may be without a query.
  std::chrono::seconds idle_timeout{10};
  // More are closed as soon as they are accepted.
  size_t connections = 65536;
};

// Until the scope is stopped (kCancelled).
weir::Task<absl::Status> ServeTcp(weir::TcpListener listener, const AnswerTable& table, TcpLimits limits);

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_TCP_SERVER_H_
