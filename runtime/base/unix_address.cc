#include "runtime/base/unix_address.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace weir {

absl::StatusOr<UnixAddress> UnixAddress::Parse(absl::string_view text) {
  const bool abstract = text.substr(0, 1) == "@";
  const std::string name = abstract ? absl::StrCat(absl::string_view("\0", 1), text.substr(1)) : std::string(text);
  if (name.size() <= (abstract ? 1u : 0u)) return absl::InvalidArgumentError("a Unix socket's address is empty");
  if (text.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("a Unix socket's address has a NUL character in it");
  }
  if (name.size() > kMaxLength) {
    return absl::InvalidArgumentError(absl::StrCat("the Unix socket address ", text, " has ", text.size(),
                                                   " characters; the kernel takes ", kMaxLength));
  }
  return UnixAddress(name);
}

UnixAddress UnixAddress::FromSockaddr(const sockaddr_un& address, size_t length) {
  if (length <= offsetof(sockaddr_un, sun_path) || address.sun_family != AF_UNIX) return {};
  const size_t size = std::min(length - offsetof(sockaddr_un, sun_path), sizeof address.sun_path);
  if (address.sun_path[0] == '\0') return UnixAddress(std::string(address.sun_path, size));
  return UnixAddress(std::string(address.sun_path, strnlen(address.sun_path, size)));
}

UnixAddress::Sockaddr UnixAddress::ToSockaddr() const {
  Sockaddr out;
  out.address.sun_family = AF_UNIX;
  std::memcpy(out.address.sun_path, name_.data(), name_.size());
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size() + (is_path() ? 1 : 0));
  return out;
}

std::string UnixAddress::ToString() const {
  if (is_unnamed()) return "(unnamed)";
  if (is_path()) return name_;
  std::string text = name_;
  for (char& c : text) {
    if (c < ' ' || c == 0x7f) c = '?';
  }
  text[0] = '@';
  return text;
}

}  // namespace weir
