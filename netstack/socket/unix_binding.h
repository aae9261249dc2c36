// UnixBinding: a name that a Unix socket of this process is bound to. A path is a file, which outlives a process that was
// killed; the binding replaces such a stale one, and removes its own when it ends.
#ifndef NETSTACK_SOCKET_UNIX_BINDING_H_
#define NETSTACK_SOCKET_UNIX_BINDING_H_

#include <sys/types.h>

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/base/unix_address.h"

namespace weir::netstack {

class UnixBinding {
 public:
  UnixBinding() = default;
  UnixBinding(UnixBinding&& other) noexcept { *this = std::move(other); }
  UnixBinding& operator=(UnixBinding&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
  }
  // Removes the path, unless it is another file by now.
  ~UnixBinding();

  // Binds `fd`, a Unix socket of `type` (SOCK_STREAM or SOCK_DGRAM). A path that nobody listens at any more is
  // replaced. kAlreadyExists: a socket is in use there, or the path is something else than a socket, which stays.
  // `mode`: the file's permissions, of which connecting wants the right to write; without it what umask(2) leaves.
  static absl::StatusOr<UnixBinding> Bind(int fd, int type, const UnixAddress& address, std::optional<mode_t> mode);

 private:
  std::string path_;  // empty: none to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// A listening socket, which several shards of this process may accept on. `share`: when one of this process listens at
// `address` already, that one; as SO_REUSEPORT does for TCP.
struct UnixListening {
  runtime::UniqueFd fd;
  UnixBinding binding;

  static absl::StatusOr<std::shared_ptr<UnixListening>> Open(const UnixAddress& address, int backlog,
                                                             std::optional<mode_t> mode, bool share);
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_UNIX_BINDING_H_
