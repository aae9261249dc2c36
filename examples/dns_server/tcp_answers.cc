#include "examples/dns_server/tcp_answers.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "examples/dns_server/response.h"
#include "runtime/base/byte_order.h"
#include "runtime/buffer/recv_reader.h"

namespace dns_server {

using weir::runtime::StoreBe16;

bool TcpAnswers::HasQuery(const weir::RecvBuffer& in, Next* next) {
  const std::optional<uint16_t> length = weir::RecvReader(in).Peek<uint16_t>();
  *next = Next::kReceive;
  if (!length.has_value()) return false;
  if (*length < kHeaderSize || *length > kMaxQuery) {
    *next = Next::kClose;
    return false;
  }
  return in.size() >= kLength + *length;
}

std::span<const std::byte> TcpAnswers::FirstQuery(const weir::RecvBuffer& in) {
  const size_t length = *weir::RecvReader(in).Peek<uint16_t>();
  const iovec& first = in.buffers().front();
  if (first.iov_len >= kLength + length) return {static_cast<const std::byte*>(first.iov_base) + kLength, length};
  in.CopyTo(std::span(query_).first(length), kLength);
  return std::span(query_).first(length);
}

TcpAnswers::Next TcpAnswers::Answer(const NewBuffer& new_buffer, weir::RecvBuffer& in, weir::SendBuffer* out) {
  Next next;
  size_t used = 0;
  std::span<std::byte> room;
  while (HasQuery(in, &next)) {
    if (room.empty()) {
      *out = new_buffer(kRoom);
      if (out->empty()) return Next::kNoFrames;
      const iovec& first = out->writable().front();
      room = {static_cast<std::byte*>(first.iov_base), first.iov_len};
    }
    const std::span<const std::byte> query = FirstQuery(in);
    const size_t left = room.size() - used;
    const size_t size =
        WriteResponse(table_, Transport::kTcp, query, room.subspan(used + std::min(left, kLength)));
    if (kLength + size > left) {
      if (used == 0) return AnswerLarge(new_buffer, in, size, out);
      next = Next::kAgain;
      break;
    }
    in.Consume(kLength + query.size());
    if (size == 0) continue;
    StoreBe16(&room[used], static_cast<uint16_t>(size));
    used += kLength + size;
  }
  out->Trim(used);
  return next;
}

// An answer that does not fit one frame.
TcpAnswers::Next TcpAnswers::AnswerLarge(const NewBuffer& new_buffer, weir::RecvBuffer& in, size_t size,
                                         weir::SendBuffer* out) {
  *out = new_buffer(kLength + size);
  if (out->size() < kLength + size) {
    out->Clear();
    return Next::kNoFrames;
  }
  const std::span<const std::byte> query = FirstQuery(in);
  StoreBe16(large_.data(), static_cast<uint16_t>(size));
  WriteResponse(table_, Transport::kTcp, query, std::span(large_).subspan(kLength));
  in.Consume(kLength + query.size());
  const std::byte* from = large_.data();
  for (const iovec& piece : out->writable()) {
    std::memcpy(piece.iov_base, from, piece.iov_len);
    from += piece.iov_len;
  }
  return Next::kAgain;
}

}  // namespace dns_server
