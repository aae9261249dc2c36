// Dropping capabilities: a server keeps none once its sockets are bound (DESIGN.md §4).
#ifndef NETSTACK_HOST_PRIVILEGES_H_
#define NETSTACK_HOST_PRIVILEGES_H_

#include "absl/status/status.h"

namespace weir {

// Gives up every capability of the calling thread, for good; nothing happens when it has none. The user ID stays.
absl::Status DropCapabilities();

}  // namespace weir

#endif  // NETSTACK_HOST_PRIVILEGES_H_
