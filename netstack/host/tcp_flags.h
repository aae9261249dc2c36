// --tcp=KEY=VALUE,…: TCP settings by the names of Linux's sysctls, with or without their "tcp_" (DESIGN.md §5).
#ifndef NETSTACK_HOST_TCP_FLAGS_H_
#define NETSTACK_HOST_TCP_FLAGS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "netstack/tcp/tcp_settings.h"

namespace weir {

// Changes what `text` names. kInvalidArgument: one line that says which part is wrong, and what it takes.
absl::Status ParseTcpSettings(absl::string_view text, netstack::TcpSettings* settings);

}  // namespace weir

#endif  // NETSTACK_HOST_TCP_FLAGS_H_
