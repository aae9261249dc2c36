#include "netstack/wire/dhcp.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe16, runtime::LoadBe32, runtime::LoadU8;

// The fixed header (RFC 2131 §2, figure 1).
constexpr uint8_t kBootRequest = 1;
constexpr uint8_t kBootReply = 2;
constexpr uint8_t kEthernet = 1;
constexpr size_t kXidOffset = 4;
constexpr size_t kSecsOffset = 8;
constexpr size_t kFlagsOffset = 10;
constexpr size_t kCiaddrOffset = 12;
constexpr size_t kYiaddrOffset = 16;
constexpr size_t kSiaddrOffset = 20;
constexpr size_t kChaddrOffset = 28;
constexpr size_t kSnameOffset = 44;
constexpr size_t kSnameSize = 64;
constexpr size_t kFileOffset = 108;
constexpr size_t kFileSize = 128;
constexpr size_t kCookieOffset = 236;
constexpr size_t kOptionsOffset = 240;
constexpr uint32_t kMagicCookie = 0x63825363;  // RFC 2131 §3
constexpr uint16_t kBroadcastFlag = 0x8000;
// RFC 951 §3: a BOOTP message has a vendor field of 64 bytes, and there are relays and servers that insist.
constexpr size_t kBootpSize = kCookieOffset + 64;

// RFC 2132.
enum Option : uint8_t {
  kPad = 0,
  kSubnetMask = 1,
  kRouter = 3,
  kDnsServers = 6,
  kHostName = 12,
  kInterfaceMtu = 26,
  kBroadcastAddress = 28,
  kRequestedIp = 50,
  kLeaseTime = 51,
  kOverload = 52,
  kMessageType = 53,
  kServerId = 54,
  kParameterRequestList = 55,
  kMessage = 56,
  kMaxMessageSize = 57,
  kRenewalTime = 58,
  kRebindingTime = 59,
  kClientId = 61,
  kClasslessRoutes = 121,  // RFC 3442
  kEnd = 255,
};

// RFC 3442: the classless routes before the router.
constexpr uint8_t kParameters[] = {kSubnetMask,       kClasslessRoutes, kRouter,      kDnsServers,   kInterfaceMtu,
                                   kBroadcastAddress, kLeaseTime,       kRenewalTime, kRebindingTime};

// Calls `option(code, value)` for each up to the end option or the end of `field`; false when one goes beyond it.
template <typename Each>
bool ForEachOption(std::span<const std::byte> field, Each option) {
  size_t at = 0;
  while (at < field.size()) {
    const uint8_t code = LoadU8(&field[at]);
    if (code == kEnd) return true;
    if (code == kPad) {
      ++at;
      continue;
    }
    if (field.size() - at < 2) return false;
    const size_t size = LoadU8(&field[at + 1]);
    if (field.size() - at - 2 < size) return false;
    option(code, field.subspan(at + 2, size));
    at += 2 + size;
  }
  return true;
}

void Take32(std::span<const std::byte> value, std::optional<uint32_t>& to) {
  if (value.size() == 4 && !to) to = LoadBe32(value.data());
}

void TakeOption(DhcpReply& reply, uint8_t code, std::span<const std::byte> value) {
  switch (code) {
    case kMessageType:
      if (value.size() == 1 && reply.type == DhcpType::kNone) reply.type = static_cast<DhcpType>(LoadU8(value.data()));
      break;
    case kServerId: Take32(value, reply.server_id); break;
    case kLeaseTime: Take32(value, reply.lease_time_s); break;
    case kRenewalTime: Take32(value, reply.renewal_time_s); break;
    case kRebindingTime: Take32(value, reply.rebinding_time_s); break;
    case kSubnetMask: Take32(value, reply.subnet_mask); break;
    case kBroadcastAddress: Take32(value, reply.broadcast); break;
    case kRouter:
      if (value.size() % 4 == 0) Take32(value.first(std::min<size_t>(value.size(), 4)), reply.router);
      break;
    case kDnsServers:
      if (value.size() % 4 != 0 || reply.dns_server_count != 0) break;
      for (; !value.empty() && reply.dns_server_count < DhcpReply::kMaxDnsServers; value = value.subspan(4)) {
        reply.dns_servers[reply.dns_server_count++] = LoadBe32(value.data());
      }
      break;
    case kInterfaceMtu:
      if (value.size() == 2 && !reply.mtu) reply.mtu = LoadBe16(value.data());
      break;
    case kMessage:
      if (reply.message.empty()) reply.message = {reinterpret_cast<const char*>(value.data()), value.size()};
      break;
    default: break;
  }
}

// Classless routes: each is the length of its prefix, as many bytes of the prefix as that takes, and the router.
class RouteBytes {
 public:
  // RFC 3396 §7: pieces in the order in which they are met. What no route is made of is not kept.
  void Append(std::span<const std::byte> piece) {
    const size_t n = std::min(piece.size(), bytes_.size() - size_);
    std::copy_n(piece.begin(), n, bytes_.begin() + static_cast<ptrdiff_t>(size_));
    size_ += n;
    cut_ |= n < piece.size();
  }

  // Without any effect when the bytes are no routes.
  void Parse(DhcpReply& reply) const {
    std::span<const std::byte> rest(bytes_.data(), size_);
    size_t count = 0;
    while (!rest.empty() && count < DhcpReply::kMaxRoutes) {
      const uint8_t length = LoadU8(rest.data());
      const size_t octets = (length + 7u) / 8;
      if (length > 32) return;
      if (rest.size() < 1 + octets + 4) {
        if (!cut_) return;
        break;
      }
      DhcpRoute& route = reply.routes[count++];
      route = {.destination = 0, .length = length, .router = LoadBe32(&rest[1 + octets])};
      for (size_t i = 0; i < octets; ++i) route.destination |= uint32_t{LoadU8(&rest[1 + i])} << (24 - 8 * i);
      rest = rest.subspan(1 + octets + 4);
    }
    reply.route_count = count;
    reply.routes_left_out = cut_ || !rest.empty();
  }

 private:
  static constexpr size_t kLongest = 1 + 4 + 4;

  std::array<std::byte, DhcpReply::kMaxRoutes * kLongest> bytes_;
  size_t size_ = 0;
  bool cut_ = false;
};

class OptionWriter {
 public:
  explicit OptionWriter(std::byte* p) : p_(p) {}

  void Put(uint8_t code, std::span<const std::byte> value) {
    *p_++ = std::byte{code};
    *p_++ = std::byte(value.size());
    p_ = std::copy(value.begin(), value.end(), p_);
  }
  void Put8(uint8_t code, uint8_t value) { Put(code, std::as_bytes(std::span(&value, 1))); }
  void Put16(uint8_t code, uint16_t value) {
    std::byte bytes[2];
    runtime::StoreBe16(bytes, value);
    Put(code, bytes);
  }
  void Put32(uint8_t code, uint32_t value) {
    std::byte bytes[4];
    runtime::StoreBe32(bytes, value);
    Put(code, bytes);
  }
  std::byte* End() {
    *p_++ = std::byte{kEnd};
    return p_;
  }

 private:
  std::byte* p_;
};

}  // namespace

bool DhcpReply::Parse(std::span<const std::byte> payload) {
  if (payload.size() < kOptionsOffset || LoadU8(&payload[0]) != kBootReply || LoadU8(&payload[1]) != kEthernet ||
      LoadU8(&payload[2]) != 6 || LoadBe32(&payload[kCookieOffset]) != kMagicCookie) {
    return false;
  }
  xid = LoadBe32(&payload[kXidOffset]);
  yiaddr = LoadBe32(&payload[kYiaddrOffset]);
  siaddr = LoadBe32(&payload[kSiaddrOffset]);
  chaddr = MacAddress::Load(&payload[kChaddrOffset]);

  uint8_t overload = 0;
  RouteBytes route_bytes;
  auto take = [&](uint8_t code, std::span<const std::byte> value) {
    if (code == kClasslessRoutes) route_bytes.Append(value);
    TakeOption(*this, code, value);
  };
  auto take_main = [&](uint8_t code, std::span<const std::byte> value) {
    if (code == kOverload && value.size() == 1) overload = LoadU8(value.data());
    take(code, value);
  };
  // RFC 2131 §4.1: `file` before `sname`; an overload option in there means nothing.
  if (!ForEachOption(payload.subspan(kOptionsOffset), take_main)) return false;
  if ((overload & 1) != 0 && !ForEachOption(payload.subspan(kFileOffset, kFileSize), take)) return false;
  if ((overload & 2) != 0 && !ForEachOption(payload.subspan(kSnameOffset, kSnameSize), take)) return false;
  route_bytes.Parse(*this);
  return true;
}

size_t DhcpRequest::Emit(std::byte* p) const {
  std::memset(p, 0, kMaxSize);
  p[0] = std::byte{kBootRequest};
  p[1] = std::byte{kEthernet};
  p[2] = std::byte{6};
  runtime::StoreBe32(p + kXidOffset, xid);
  runtime::StoreBe32(p + kCiaddrOffset, ciaddr);
  chaddr.Store(p + kChaddrOffset);
  runtime::StoreBe32(p + kCookieOffset, kMagicCookie);

  // RFC 2131 §4.4.1, table 5.
  const bool wants_answer = type == DhcpType::kDiscover || type == DhcpType::kRequest;
  OptionWriter options(p + kOptionsOffset);
  options.Put8(kMessageType, static_cast<uint8_t>(type));
  std::byte client_id[7] = {std::byte{kEthernet}};  // RFC 2132 §9.14
  chaddr.Store(client_id + 1);
  options.Put(kClientId, client_id);
  if (requested_ip != 0 && type != DhcpType::kRelease) options.Put32(kRequestedIp, requested_ip);
  if (server_id != 0 && type != DhcpType::kDiscover) options.Put32(kServerId, server_id);
  if (wants_answer) {
    runtime::StoreBe16(p + kSecsOffset, secs);
    runtime::StoreBe16(p + kFlagsOffset, broadcast ? kBroadcastFlag : 0);
    options.Put16(kMaxMessageSize, max_message_size);
    options.Put(kParameterRequestList, std::as_bytes(std::span(kParameters)));
    const absl::string_view name = hostname.substr(0, kMaxHostname);
    if (!name.empty()) options.Put(kHostName, std::as_bytes(std::span(name.data(), name.size())));
  }
  return std::max(kBootpSize, static_cast<size_t>(options.End() - p));
}

}  // namespace weir::netstack
