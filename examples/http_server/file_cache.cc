#include "examples/http_server/file_cache.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace http_server {
namespace {

const char* ContentType(absl::string_view path) {
  static constexpr struct {
    absl::string_view ending;
    const char* type;
  } kTypes[] = {
      {".html", "text/html; charset=utf-8"}, {".htm", "text/html; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"}, {".md", "text/plain; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},   {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},         {".svg", "image/svg+xml"},
      {".png", "image/png"},                 {".jpg", "image/jpeg"},
      {".jpeg", "image/jpeg"},               {".gif", "image/gif"},
      {".webp", "image/webp"},               {".ico", "image/vnd.microsoft.icon"},
      {".pdf", "application/pdf"},           {".wasm", "application/wasm"},
      {".xml", "application/xml"},
  };
  for (const auto& known : kTypes) {
    if (absl::EndsWithIgnoreCase(path, known.ending)) return known.type;
  }
  return "application/octet-stream";
}

}  // namespace

weir::Task<absl::StatusOr<CachedFilePtr>> FileCache::Get(absl::string_view path, weir::Nanos now_ns) {
  const auto found = files_.find(path);
  if (found != files_.end() && now_ns - found->second->checked_ns < kValid) co_return found->second;
  std::string key(path);
  absl::StatusOr<CachedFilePtr> loaded = co_await Load(key, now_ns);
  if (!loaded.ok()) {
    files_.erase(key);
    co_return loaded.status();
  }
  // Any entry may go: what is in use is loaded again.
  if (files_.size() >= kMaxFiles && !files_.contains(key)) files_.erase(files_.begin());
  files_[std::move(key)] = *loaded;
  co_return *std::move(loaded);
}

weir::Task<absl::StatusOr<CachedFilePtr>> FileCache::Load(std::string path, weir::Nanos now_ns) {
  const bool names_directory = path.back() == '/';
  path = absl::StrCat(".", path, names_directory ? "index.html" : "");
  const weir::OpenOptions inside{.flags = O_RDONLY | O_NONBLOCK, .beneath = true};  // a FIFO does not hold us up
  absl::StatusOr<weir::File> file = co_await weir::File::Open(reactor_, root_, path.c_str(), inside);
  if (!file.ok()) {
    // A path that tries to leave the directory is a path that does not exist in it.
    if (absl::IsFailedPrecondition(file.status())) co_return absl::NotFoundError("outside or no directory");
    co_return file.status();
  }
  absl::StatusOr<weir::FileStat> stat = co_await file->Stat();
  if (!stat.ok()) co_return stat.status();
  if (stat->is_directory()) co_return absl::FailedPreconditionError("a directory");
  if (!stat->is_regular()) co_return absl::PermissionDeniedError("no regular file");
  auto entry = std::make_shared<CachedFile>();
  entry->size = stat->size;
  entry->modified = stat->mtime_s;
  entry->content_type = ContentType(path);
  entry->checked_ns = now_ns;
  if (stat->size <= kMaxInMemory) {
    entry->in_memory = true;
    entry->bytes.resize(stat->size);
    size_t have = 0;
    while (have < entry->bytes.size()) {
      const iovec into{entry->bytes.data() + have, entry->bytes.size() - have};
      absl::StatusOr<size_t> n = co_await file->Read({&into, 1}, have);
      if (!n.ok()) co_return n.status();
      if (*n == 0) break;  // it became shorter
      have += *n;
    }
    entry->bytes.resize(have);
    entry->size = have;
  } else {
    entry->file = *std::move(file);
  }
  co_return CachedFilePtr(std::move(entry));
}

}  // namespace http_server
