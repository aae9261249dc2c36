#include "tests/interop/posix_socket.h"

#include <fcntl.h>
#include <linux/sock_diag.h>
#include <net/if.h>

#include <algorithm>
#include <climits>
#include <string>

namespace weir::interop {
namespace {

constexpr int kSockMinReceive = 2304, kSockMinSend = 4608;  // SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF
constexpr int kReceiveTimeoutNew = 66, kSendTimeoutNew = 67;  // SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW

// sock_set_timeout.
int SetTimeout(std::span<const std::byte> value, timeval* to) {
  timeval time;
  if (!ReadStruct(value, &time)) return -EINVAL;
  if (time.tv_usec < 0 || time.tv_usec >= 1000000) return -EDOM;
  *to = time;
  return 0;
}

}  // namespace

Nanos PosixSocket::Timeout(const timeval& time) {
  if (time.tv_sec < 0) return 0;
  if (time.tv_sec == 0 && time.tv_usec == 0) return kNever;
  if (time.tv_sec > kNever / kSecond / 2) return kNever;
  return time.tv_sec * kSecond + time.tv_usec * kMicrosecond;
}

int PosixSocket::SetOption(int level, int name, std::span<const std::byte> value) {
  if (level == SOL_SOCKET) return SetSocketOption(name, value);
  if (level == IPPROTO_IP) return SetIpOption(name, value);
  if (level == IPPROTO_IPV6 && domain_ == AF_INET6) return SetIp6Option(name, value);
  return SetProtocolOption(level, name, value);
}

int PosixSocket::GetOption(int level, int name, int room, OptionValue* value) {
  if (level == IPPROTO_IPV6 && domain_ == AF_INET6) {
    return GetIp6Option(name, room < 0 ? static_cast<int>(sizeof(int)) : room, value);  // as unsigned numbers
  }
  if (level != SOL_SOCKET && level != IPPROTO_IP) return GetProtocolOption(level, name, room, value);
  if (room < 0) return -EINVAL;
  return level == SOL_SOCKET ? GetSocketOption(name, room, value) : GetIpOption(name, room, value);
}

int PosixSocket::SetSocketOption(int name, std::span<const std::byte> value) {
  if (name == SO_BINDTODEVICE) return SetDevice(value);
  int number = 0;
  if (!ReadInt(value, &number)) return -EINVAL;
  switch (name) {
    case SO_TYPE:
    case SO_PROTOCOL:
    case SO_DOMAIN:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_SNDLOWAT:
    case SO_MEMINFO:
    case SO_PEERNAME:
    case SO_COOKIE:
      return -ENOPROTOOPT;
    case SO_RCVTIMEO:
    case kReceiveTimeoutNew:
      return SetTimeout(value, &options_.receive_timeout);
    case SO_SNDTIMEO:
    case kSendTimeoutNew:
      return SetTimeout(value, &options_.send_timeout);
    case SO_LINGER: {
      linger time;
      if (!ReadStruct(value, &time)) return -EINVAL;
      options_.linger_time.l_onoff = time.l_onoff != 0;
      if (time.l_onoff != 0) options_.linger_time.l_linger = time.l_linger < 0 ? INT_MAX : time.l_linger;
      return SocketOptionSet(name, number);
    }
    case SO_MAX_PACING_RATE: {
      uint64_t rate = static_cast<uint32_t>(number) == UINT32_MAX ? UINT64_MAX : static_cast<uint32_t>(number);
      ReadStruct(value, &rate);
      options_.max_pacing_rate = rate;
      return SocketOptionSet(name, number);
    }
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
      return SetBuffer(name, number);
    default:
      return SetNumber(name, number);
  }
}

int PosixSocket::SetNumber(int name, int number) {
  const bool on = number != 0;
  SocketOptions& o = options_;
  switch (name) {
    case SO_REUSEADDR:
      o.reuse_address = on;
      break;
    case SO_REUSEPORT:
      o.reuse_port = on;
      break;
    case SO_BROADCAST:
      o.broadcast = on;
      break;
    case SO_KEEPALIVE:
      o.keepalive = on;
      break;
    case SO_OOBINLINE:
      o.oob_inline = on;
      break;
    case SO_NO_CHECK:
      o.no_check = on;
      break;
    case SO_DONTROUTE:
      o.dont_route = on;
      break;
    case SO_TIMESTAMP:
      o.timestamp = on;
      break;
    case SO_RXQ_OVFL:
      o.receive_overflow = on;
      break;
    case SO_ZEROCOPY:
      if (number < 0 || number > 1) return -EINVAL;
      o.zero_copy = on;
      break;
    case SO_PRIORITY:
      o.priority = number;
      break;
    case SO_MARK:
      o.mark = number;
      break;
    case SO_BUSY_POLL:
      if (number < 0) return -EINVAL;
      o.busy_poll = number;
      break;
    case SO_RCVLOWAT:
      o.receive_low = number < 0 ? INT_MAX : std::max(number, 1);
      break;
    default:
      return -ENOPROTOOPT;
  }
  return SocketOptionSet(name, number);
}

// sock_setsockopt: brought within bounds, doubled for the kernel's overhead, and so read back.
int PosixSocket::SetBuffer(int name, int bytes) {
  const bool send = name == SO_SNDBUF || name == SO_SNDBUFFORCE;
  if (name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE) {
    bytes = std::max(bytes, 0);
  } else {  // as unsigned numbers: what is below 0 is large
    const auto most = static_cast<uint32_t>(send ? stack_.wmem_max : stack_.rmem_max);
    bytes = static_cast<int>(std::min(static_cast<uint32_t>(bytes), most));
  }
  bytes = std::min(bytes, INT_MAX / 2);
  if (send) {
    options_.send_buffer = std::max(2 * bytes, kSockMinSend);
  } else {
    options_.receive_buffer = std::max(2 * bytes, kSockMinReceive);
  }
  return SocketOptionSet(send ? SO_SNDBUF : SO_RCVBUF, bytes);
}

int PosixSocket::SetDevice(std::span<const std::byte> name) {
  const auto* text = reinterpret_cast<const char*>(name.data());
  const std::string device(text, strnlen(text, std::min<size_t>(name.size(), IF_NAMESIZE - 1)));
  const uint32_t index = device.empty() ? 0 : if_nametoindex(device.c_str());
  if (!device.empty() && context().FindInterface(index) == nullptr) return -ENODEV;
  options_.bound_interface = index;
  return 0;
}

int PosixSocket::GetSocketOption(int name, int room, OptionValue* value) {
  int number = 0;
  if (GetNumber(name, &number)) return value->Put(number, room);
  switch (name) {
    case SO_ERROR:
      return value->Put(TakeError(), room);
    case SO_LINGER:
      return value->Put(options_.linger_time, room);
    case SO_RCVTIMEO:
    case kReceiveTimeoutNew:
      return value->Put(options_.receive_timeout, room);
    case SO_SNDTIMEO:
    case kSendTimeoutNew:
      return value->Put(options_.send_timeout, room);
    case SO_MEMINFO:
      return value->Put(MemInfo(), room);
    case SO_MAX_PACING_RATE:
      if (room >= static_cast<int>(sizeof(uint64_t))) return value->Put(options_.max_pacing_rate, room);
      return value->Put(static_cast<uint32_t>(std::min<uint64_t>(options_.max_pacing_rate, UINT32_MAX)), room);
    case SO_BINDTODEVICE: {
      char device[IF_NAMESIZE] = {};
      if (options_.bound_interface == 0) return 0;
      if (room < IF_NAMESIZE) return -EINVAL;
      if (if_indextoname(options_.bound_interface, device) == nullptr) return -ENODEV;
      return value->PutBytes(std::as_bytes(std::span(device, strlen(device) + 1)), room);
    }
    default:
      return -ENOPROTOOPT;
  }
}

bool PosixSocket::GetNumber(int name, int* number) {
  const SocketOptions& o = options_;
  const struct {
    int name, value;
  } numbers[] = {
      {SO_REUSEADDR, o.reuse_address},
      {SO_REUSEPORT, o.reuse_port},
      {SO_BROADCAST, o.broadcast},
      {SO_KEEPALIVE, o.keepalive},
      {SO_OOBINLINE, o.oob_inline},
      {SO_NO_CHECK, o.no_check},
      {SO_DONTROUTE, o.dont_route},
      {SO_TIMESTAMP, o.timestamp},
      {SO_RXQ_OVFL, o.receive_overflow},
      {SO_ZEROCOPY, o.zero_copy},
      {SO_PRIORITY, o.priority},
      {SO_MARK, o.mark},
      {SO_BUSY_POLL, o.busy_poll},
      {SO_RCVLOWAT, o.receive_low},
      {SO_SNDLOWAT, 1},
      {SO_TYPE, type_},
      {SO_DOMAIN, domain_},
      {SO_PROTOCOL, protocol_},
      {SO_ACCEPTCONN, Accepts()},
      {SO_RCVBUF, o.receive_buffer.value_or(DefaultReceiveBuffer())},
      {SO_SNDBUF, o.send_buffer.value_or(DefaultSendBuffer())},
      {SO_BINDTOIFINDEX, static_cast<int>(o.bound_interface)},
  };
  for (const auto& entry : numbers) {
    if (entry.name != name) continue;
    *number = entry.value;
    return true;
  }
  return false;
}

int PosixSocket::Fcntl(int command, int argument) {
  switch (command) {
    case F_GETFL:
      return O_RDWR | (nonblock_ ? O_NONBLOCK : 0);
    case F_SETFL:
      if ((argument & O_DIRECT) != 0) return -EINVAL;
      nonblock_ = (argument & O_NONBLOCK) != 0;
      return 0;
    case F_GETFD:
      return close_on_exec_ ? FD_CLOEXEC : 0;
    case F_SETFD:
      close_on_exec_ = (argument & FD_CLOEXEC) != 0;
      return 0;
    default:
      return -EINVAL;
  }
}

}  // namespace weir::interop
