// UnixAddress: the name of a Unix domain socket (unix(7)): a path in the file system, a name in Linux's abstract
// namespace, or none.
#ifndef RUNTIME_BASE_UNIX_ADDRESS_H_
#define RUNTIME_BASE_UNIX_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

class UnixAddress {
 public:
  // A path with its terminating NUL, or an abstract name with its leading one, fills sun_path at most.
  static constexpr size_t kMaxLength = sizeof(sockaddr_un::sun_path) - 1;

  // Unnamed: what the peer of a socket is that was not bound.
  UnixAddress() = default;

  // "@name" is abstract, as ss(8) and systemd write it; anything else is a path ("./@name" for a path that begins with
  // @). kInvalidArgument for an empty, too long or NUL-holding one.
  static absl::StatusOr<UnixAddress> Parse(absl::string_view text);
  // What the kernel gave; `length` counts sun_family.
  static UnixAddress FromSockaddr(const sockaddr_un& address, size_t length);

  // For bind(2) and its kin; the length counts sun_family.
  struct Sockaddr {
    sockaddr_un address{};
    socklen_t length = 0;
  };
  Sockaddr ToSockaddr() const;

  bool is_unnamed() const { return name_.empty(); }
  bool is_abstract() const { return !name_.empty() && name_[0] == '\0'; }
  bool is_path() const { return !name_.empty() && name_[0] != '\0'; }
  // Only for is_path().
  const std::string& path() const { return name_; }
  // As Parse takes it, except that bytes of an abstract name that cannot be shown are "?"; "(unnamed)".
  std::string ToString() const;

  friend bool operator==(const UnixAddress&, const UnixAddress&) = default;

 private:
  explicit UnixAddress(std::string name) : name_(std::move(name)) {}
  std::string name_;  // abstract: with the leading NUL
};

}  // namespace weir

#endif  // RUNTIME_BASE_UNIX_ADDRESS_H_
