// Answers queries over UDP: whole batches at a time, each answer in the frame that its query arrived in.
#ifndef EXAMPLES_DNS_SERVER_UDP_SERVER_H_
#define EXAMPLES_DNS_SERVER_UDP_SERVER_H_

#include "absl/status/status.h"
#include "examples/dns_server/answer_table.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/core/task.h"

namespace dns_server {

// Until the scope is stopped (kCancelled), or receiving fails.
weir::Task<absl::Status> ServeUdp(weir::UdpSocket socket, const AnswerTable& table);

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_UDP_SERVER_H_
