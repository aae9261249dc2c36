// FileCache: the files below the served directory that were asked for lately. Small ones are kept whole, so that a
// request for one is answered from memory; of large ones the open descriptor is kept. An entry is looked at again (by
// stat) when it is older than a second, so a changed file is served within a second.
#ifndef EXAMPLES_HTTP_SERVER_FILE_CACHE_H_
#define EXAMPLES_HTTP_SERVER_FILE_CACHE_H_

#include <ctime>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/base/time.h"
#include "runtime/core/task.h"
#include "runtime/io/file.h"
#include "runtime/io/reactor.h"

namespace http_server {

struct CachedFile {
  weir::File file;
  uint64_t size = 0;
  time_t modified = 0;
  const char* content_type = "";
  bool in_memory = false;
  std::string bytes;  // all of it, when in_memory
  weir::Nanos checked_ns = 0;
};

// Shared by the cache and by the responses under way.
using CachedFilePtr = std::shared_ptr<const CachedFile>;

class FileCache {
 public:
  // `root` is an open directory, which stays open; paths never leave it (openat2, RESOLVE_BENEATH).
  FileCache(weir::runtime::Reactor& reactor, int root) : reactor_(reactor), root_(root) {}

  // `path` begins with '/'. A directory stands for its index.html. kNotFound, kPermissionDenied, and kFailedPrecondition
  // for a directory without the '/' at the end of its path.
  weir::Task<absl::StatusOr<CachedFilePtr>> Get(absl::string_view path, weir::Nanos now_ns);

 private:
  static constexpr weir::Nanos kValid = weir::kSecond;
  // 1024 files of at most 64 KiB: 64 MiB a shard at the worst.
  static constexpr size_t kMaxFiles = 1024;
  static constexpr uint64_t kMaxInMemory = 64 << 10;

  weir::Task<absl::StatusOr<CachedFilePtr>> Load(std::string path, weir::Nanos now_ns);

  weir::runtime::Reactor& reactor_;
  int root_;
  absl::flat_hash_map<std::string, CachedFilePtr> files_;
};

}  // namespace http_server

#endif  // EXAMPLES_HTTP_SERVER_FILE_CACHE_H_
