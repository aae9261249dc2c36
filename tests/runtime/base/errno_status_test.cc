#include "runtime/base/errno_status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace weir::runtime {
namespace {

TEST(ErrnoStatus, CodesThatCallersBranchOn) {
  EXPECT_EQ(ErrnoStatus(ECANCELED, "x").code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ErrnoStatus(ETIMEDOUT, "x").code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrnoStatus(ECONNRESET, "x").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrnoStatus(EPIPE, "x").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrnoStatus(ECONNREFUSED, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(EADDRINUSE, "x").code(), absl::StatusCode::kAlreadyExists);
}

TEST(ErrnoStatus, MessageHasTextAndName) {
  EXPECT_EQ(ErrnoStatus(ECONNRESET, "Recvmsg").message(), "Recvmsg: Connection reset by peer (ECONNRESET)");
  EXPECT_FALSE(ErrnoStatus(123456, "x").ok());  // no errno at all
}

}  // namespace
}  // namespace weir::runtime
