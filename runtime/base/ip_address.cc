#include "runtime/base/ip_address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::StatusOr<uint16_t> ParsePort(absl::string_view text, absl::string_view whole) {
  int port;
  if (!absl::SimpleAtoi(text, &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", whole, "': the port must be 0 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  const std::string copy(text);
  in_addr v4;
  if (inet_pton(AF_INET, copy.c_str(), &v4) == 1) return V4(ntohl(v4.s_addr));
  std::array<uint8_t, 16> v6;
  if (inet_pton(AF_INET6, copy.c_str(), v6.data()) == 1) return V6(v6);
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no IPv4 or IPv6 address"));
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  const bool four = is_v4();
  return inet_ntop(four ? AF_INET : AF_INET6, bytes().data() + (four ? 12 : 0), text, sizeof text);
}

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view text) {
  Endpoint endpoint;
  absl::string_view port = text;
  const size_t colon = text.rfind(':');
  if (colon != absl::string_view::npos) {
    absl::string_view host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", text, "': write an IPv6 address and port as [address]:port"));
    }
    if (const size_t percent = host.find('%'); percent != absl::string_view::npos) {
      const std::string interface(host.substr(percent + 1));
      const unsigned index = if_nametoindex(interface.c_str());
      if (index == 0) {
        return absl::InvalidArgumentError(absl::StrCat("'", text, "': there is no interface '", interface, "'"));
      }
      endpoint.scope_id = index;
      host = host.substr(0, percent);
    }
    if (!host.empty()) {
      absl::StatusOr<IpAddress> ip = IpAddress::Parse(host);
      if (!ip.ok()) return ip.status();
      endpoint.ip = *ip;
    }
  }
  absl::StatusOr<uint16_t> number = ParsePort(port, text);
  if (!number.ok()) return number.status();
  endpoint.port = *number;
  return endpoint;
}

std::string Endpoint::ToString() const {
  if (ip.is_v4()) return absl::StrCat(ip.ToString(), ":", port);
  char name[IF_NAMESIZE];
  std::string scope;
  if (scope_id != 0) {
    scope = absl::StrCat("%", if_indextoname(scope_id, name) != nullptr ? name : std::to_string(scope_id).c_str());
  }
  return absl::StrCat("[", ip.ToString(), scope, "]:", port);
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(text.substr(0, slash));
  if (!ip.ok()) return ip.status();
  const int bits = ip->is_v4() ? 32 : 128;
  IpPrefix prefix{*ip, bits};
  if (slash != absl::string_view::npos &&
      (!absl::SimpleAtoi(text.substr(slash + 1), &prefix.length) || prefix.length < 0 ||
       prefix.length > bits)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': the prefix length must be 0 to ", bits));
  }
  return prefix;
}

std::string IpPrefix::ToString() const { return absl::StrCat(ip.ToString(), "/", length); }

}  // namespace weir
