// absl::Status for a failed system call: the canonical code a caller branches on, the errno's name and text
// for a person. The mapping follows DESIGN.md §4: cancel is kCancelled, timeouts kDeadlineExceeded, a reset
// or broken connection kAborted.
#ifndef RUNTIME_BASE_ERRNO_STATUS_H_
#define RUNTIME_BASE_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weir::runtime {

// `error` is a positive errno value; the message is "<what>: <text> (<name>)".
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_ERRNO_STATUS_H_
