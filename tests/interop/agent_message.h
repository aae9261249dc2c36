// The messages of the socket agent protocol (shared/interop/socket_agent.md): one request, one reply, in host byte
// order.
#ifndef TESTS_INTEROP_AGENT_MESSAGE_H_
#define TESTS_INTEROP_AGENT_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace weir::interop {

enum class Op : int32_t {
  kSocket = 1,
  kBind,
  kListen,
  kAccept,
  kConnect,
  kRecv,
  kSend,
  kClose,
  kShutdown,
  kGetSockOpt,
  kSetSockOpt,
  kFcntl,
  kIoctl,
  kPoll,
  kReset,
  kGetSockName,
};

inline constexpr size_t kMaxData = size_t{1} << 20;
inline constexpr size_t kMaxMessage = kMaxData + 4096;
// The longest address that goes with data in one reply.
inline constexpr size_t kMaxAddress = 128;

struct RequestHeader {
  int32_t op, h, a1, a2, a3;
  uint32_t alen, dlen;
};
static_assert(sizeof(RequestHeader) == 28);

struct Request : RequestHeader {
  std::span<const std::byte> address;
  std::span<const std::byte> data;
};

struct [[gnu::packed]] ReplyHeader {
  int64_t rc;
  int32_t err;
  uint32_t alen, dlen;
};
static_assert(sizeof(ReplyHeader) == 20);

// Nothing: it is not a request. Bytes behind what the lengths say are ignored, as by the reference.
inline std::optional<Request> ParseRequest(std::span<const std::byte> message) {
  Request request;
  if (message.size() < sizeof(RequestHeader)) return std::nullopt;
  std::memcpy(static_cast<RequestHeader*>(&request), message.data(), sizeof(RequestHeader));
  message = message.subspan(sizeof(RequestHeader));
  if (uint64_t{request.alen} + request.dlen > message.size()) return std::nullopt;
  request.address = message.first(request.alen);
  request.data = message.subspan(request.alen, request.dlen);
  return request;
}

}  // namespace weir::interop

#endif  // TESTS_INTEROP_AGENT_MESSAGE_H_
