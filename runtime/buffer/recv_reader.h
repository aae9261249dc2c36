// RecvReader: a cursor for parsers over the bytes of a RecvBuffer (or any chain), which it neither owns nor changes. A
// read that would go beyond the end gives nothing and leaves the cursor where it is: more bytes may still come, and a
// new reader then begins again, or at position() after a Skip.
//
//   weir::RecvReader reader(msg);
//   std::optional<uint16_t> length = reader.Read<uint16_t>();      // network order
//   if (!length || !reader.Skip(*length)) co_return;               // not all there yet
//   msg.Consume(reader.position());
//
//   char scratch[512];                                             // also the longest line
//   while (std::optional<std::string_view> line = reader.ReadLine(scratch)) Use(*line);
//   if (reader.left() >= sizeof scratch) ...                       // no line end where one had to be
//
// Valid as long as the chain is neither changed nor moved; what it returns too.
#ifndef RUNTIME_BUFFER_RECV_READER_H_
#define RUNTIME_BUFFER_RECV_READER_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "runtime/buffer/frame_chain.h"

namespace weir {

class RecvReader {
 public:
  explicit RecvReader(const runtime::FrameChain& chain) : slices_(chain.buffers()), left_(chain.size()) { Advance(0); }

  size_t position() const { return position_; }  // bytes from the chain's front
  size_t left() const { return left_; }

  // An unsigned integer in network order.
  template <std::unsigned_integral T>
  std::optional<T> Peek() const {
    std::byte bytes[sizeof(T)];
    if (!Peek(std::span(bytes))) return std::nullopt;
    T value = 0;
    for (std::byte byte : bytes) value = static_cast<T>(value << 7 << 1 | std::to_integer<T>(byte));
    return value;
  }
  template <std::unsigned_integral T>
  std::optional<T> Read() {
    const std::optional<T> value = Peek<T>();
    if (value.has_value()) Advance(sizeof(T));
    return value;
  }

  // All of `out`, or false and nothing.
  bool Peek(std::span<std::byte> out) const;
  bool Read(std::span<std::byte> out) {
    if (!Peek(out)) return false;
    Advance(out.size());
    return true;
  }
  bool Skip(size_t n) {
    if (n > left_) return false;
    Advance(n);
    return true;
  }

  // The next line without its LF, or CR and LF: as it lies when it is in one slice, else copied to `scratch`. A line,
  // its end included, is at most scratch.size() bytes long. Nothing: no line end is there so far; with left() of
  // scratch.size() or more there will be none that counts.
  std::optional<std::string_view> ReadLine(std::span<char> scratch);

 private:
  // n <= left_.
  void Advance(size_t n);
  // The rest of the first slice.
  std::span<const std::byte> Front() const {
    return std::span(static_cast<const std::byte*>(slices_.front().iov_base), slices_.front().iov_len).subspan(offset_);
  }

  std::span<const iovec> slices_;  // from the one that the cursor is in
  size_t offset_ = 0;              // in that one
  size_t position_ = 0;
  size_t left_;
};

}  // namespace weir

#endif  // RUNTIME_BUFFER_RECV_READER_H_
