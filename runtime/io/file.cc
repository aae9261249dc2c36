#include "runtime/io/file.h"

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir {

runtime::UringOperation<File::OpenCall> File::Open(runtime::Reactor& reactor, int directory, const char* path,
                                                   const OpenOptions& options) {
  open_how how{};
  how.flags = static_cast<uint64_t>(options.flags) | O_CLOEXEC;
  how.mode = options.mode;
  if (options.beneath) how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return {reactor, {&reactor, directory, path, how}};
}

absl::StatusOr<File> File::OpenCall::Finish(int32_t result) {
  if (result < 0) return runtime::ErrnoStatus(-result, absl::StrCat("cannot open '", path, "'"));
  return File(*reactor, result);
}

absl::StatusOr<size_t> File::ReadCall::Finish(int32_t result) {
  if (result < 0) return runtime::ErrnoStatus(-result, "read");
  return static_cast<size_t>(result);
}

absl::StatusOr<size_t> File::WriteCall::Finish(int32_t result) {
  if (result < 0) return runtime::ErrnoStatus(-result, "write");
  return static_cast<size_t>(result);
}

absl::Status File::FsyncCall::Finish(int32_t error) {
  if (error < 0) return runtime::ErrnoStatus(-error, "fsync");
  return absl::OkStatus();
}

absl::StatusOr<FileStat> File::StatCall::Finish(int32_t error) {
  if (error < 0) return runtime::ErrnoStatus(-error, path[0] == 0 ? "statx" : absl::StrCat("cannot stat '", path, "'"));
  return FileStat{.size = result.stx_size, .mode = result.stx_mode, .mtime_s = result.stx_mtime.tv_sec};
}

}  // namespace weir
