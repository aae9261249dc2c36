#include "runtime/base/errno_status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace weir::runtime {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ECANCELED:
      return absl::StatusCode::kCancelled;
    case ETIMEDOUT:
    case ETIME:
      return absl::StatusCode::kDeadlineExceeded;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
      return absl::StatusCode::kAborted;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
      return absl::StatusCode::kUnavailable;
    case EADDRINUSE:
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EPERM:
    case EACCES:
      return absl::StatusCode::kPermissionDenied;
    case ENOENT:
    case ENODEV:
    case EADDRNOTAVAIL:
      return absl::StatusCode::kNotFound;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
      return absl::StatusCode::kResourceExhausted;
    case EINVAL:
    case EBADF:
    case EFAULT:
    case EMSGSIZE:
    case ENAMETOOLONG:
      return absl::StatusCode::kInvalidArgument;
    case ENOSYS:
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
    case EAFNOSUPPORT:
      return absl::StatusCode::kUnimplemented;
    case ENOTCONN:
    case EDESTADDRREQ:
    case EISCONN:
    case EISDIR:
    case ENOTDIR:
    case EBUSY:
    case ELOOP:
    case EXDEV:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnknown;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const char* name = strerrorname_np(error);
  return absl::Status(CodeOf(error), absl::StrCat(what, ": ", strerror(error), " (",
                                                  name == nullptr ? "unknown errno" : name, ")"));
}

}  // namespace weir::runtime
