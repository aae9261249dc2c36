#include "netstack/socket/unix_binding.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

using runtime::ErrnoStatus;
using runtime::UniqueFd;

bool BindTo(int fd, const UnixAddress& address) {
  const UnixAddress::Sockaddr to = address.ToSockaddr();
  return bind(fd, reinterpret_cast<const sockaddr*>(&to.address), to.length) == 0;
}

// Whether a process still has the socket at `address`: only then a connect is not refused.
bool InUse(const UnixAddress& address, int type) {
  UniqueFd probe(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const UnixAddress::Sockaddr to = address.ToSockaddr();
  return !probe.valid() || connect(probe.get(), reinterpret_cast<const sockaddr*>(&to.address), to.length) == 0 ||
         errno != ECONNREFUSED;
}

// Makes room at a path that bind(2) found taken; OK when it is worth trying again.
absl::Status RemoveStale(const UnixAddress& address, int type) {
  struct stat before, now;
  if (lstat(address.path().c_str(), &before) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, address.ToString());
  }
  if (!S_ISSOCK(before.st_mode)) {
    return absl::AlreadyExistsError(absl::StrCat(address.ToString(), " is not a socket: remove it, or use another path"));
  }
  if (InUse(address, type)) {
    return absl::AlreadyExistsError(
        absl::StrCat(address.ToString(), " is in use by another socket: 'ss -lxp' shows whose"));
  }
  // Somebody else may have replaced it meanwhile.
  if (lstat(address.path().c_str(), &now) == 0 && now.st_dev == before.st_dev && now.st_ino == before.st_ino &&
      unlink(address.path().c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("cannot remove the stale socket ", address.ToString()));
  }
  return absl::OkStatus();
}

struct Listenings {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<UnixListening>> by_name;
};

// All of this process, whose shards are threads.
Listenings& OfThisProcess() {
  static Listenings* listenings = new Listenings;
  return *listenings;
}

}  // namespace

UnixBinding::~UnixBinding() {
  struct stat now;
  if (path_.empty() || lstat(path_.c_str(), &now) != 0) return;
  if (now.st_dev == device_ && now.st_ino == inode_) unlink(path_.c_str());
}

absl::StatusOr<UnixBinding> UnixBinding::Bind(int fd, int type, const UnixAddress& address,
                                              std::optional<mode_t> mode) {
  UnixBinding binding;
  // Before bind(2), so that the file is never there with more rights; umask(2) may take more away.
  if (mode.has_value() && fchmod(fd, *mode) != 0) return ErrnoStatus(errno, "cannot set the socket's mode");
  if (!BindTo(fd, address)) {
    if (errno != EADDRINUSE || !address.is_path()) {
      return ErrnoStatus(errno, absl::StrCat("cannot bind ", address.ToString()));
    }
    absl::Status removed = RemoveStale(address, type);
    if (!removed.ok()) return removed;
    if (!BindTo(fd, address)) return ErrnoStatus(errno, absl::StrCat("cannot bind ", address.ToString()));
  }
  if (!address.is_path()) return binding;
  struct stat now;
  if (lstat(address.path().c_str(), &now) != 0) return ErrnoStatus(errno, address.ToString());
  binding.path_ = address.path();
  binding.device_ = now.st_dev;
  binding.inode_ = now.st_ino;
  if (mode.has_value() && chmod(address.path().c_str(), *mode) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot set the mode of ", address.ToString()));
  }
  return binding;
}

absl::StatusOr<std::shared_ptr<UnixListening>> UnixListening::Open(const UnixAddress& address, int backlog,
                                                                   std::optional<mode_t> mode, bool share) {
  Listenings& all = OfThisProcess();
  std::lock_guard lock(all.mutex);
  std::erase_if(all.by_name, [](const auto& entry) { return entry.second.expired(); });
  if (share) {
    if (auto it = all.by_name.find(address.ToString()); it != all.by_name.end()) {
      if (std::shared_ptr<UnixListening> there = it->second.lock()) return there;
    }
  }
  auto listening = std::make_shared<UnixListening>();
  listening->fd = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listening->fd.valid()) return ErrnoStatus(errno, "cannot open a Unix socket");
  absl::StatusOr<UnixBinding> binding = UnixBinding::Bind(listening->fd.get(), SOCK_STREAM, address, mode);
  if (!binding.ok()) return binding.status();
  listening->binding = *std::move(binding);
  if (listen(listening->fd.get(), backlog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot listen on ", address.ToString()));
  }
  if (share) all.by_name[address.ToString()] = listening;
  return listening;
}

}  // namespace weir::netstack
