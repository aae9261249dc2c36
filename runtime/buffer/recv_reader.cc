#include "runtime/buffer/recv_reader.h"

namespace weir {

void RecvReader::Advance(size_t n) {
  position_ += n;
  left_ -= n;
  offset_ += n;
  while (!slices_.empty() && offset_ >= slices_.front().iov_len) {
    offset_ -= slices_.front().iov_len;
    slices_ = slices_.subspan(1);
  }
}

bool RecvReader::Peek(std::span<std::byte> out) const {
  if (out.size() > left_) return false;
  RecvReader at = *this;
  while (!out.empty()) {
    const std::span<const std::byte> bytes = at.Front();
    const size_t n = std::min(bytes.size(), out.size());
    std::memcpy(out.data(), bytes.data(), n);
    out = out.subspan(n);
    at.Advance(n);
  }
  return true;
}

std::optional<std::string_view> RecvReader::ReadLine(std::span<char> scratch) {
  RecvReader at = *this;
  size_t length = 0;  // of the line, up to and with its LF
  for (bool found = false; !found;) {
    if (at.left_ == 0 || length >= scratch.size()) return std::nullopt;
    std::span<const std::byte> bytes = at.Front();
    bytes = bytes.first(std::min(bytes.size(), scratch.size() - length));
    const void* end = std::memchr(bytes.data(), '\n', bytes.size());
    found = end != nullptr;
    const size_t n = found ? static_cast<size_t>(static_cast<const std::byte*>(end) - bytes.data()) + 1 : bytes.size();
    length += n;
    at.Advance(n);
  }
  std::string_view line;
  if (Front().size() >= length) {
    line = {reinterpret_cast<const char*>(Front().data()), length};
  } else {
    Peek(std::as_writable_bytes(scratch.first(length)));
    line = {scratch.data(), length};
  }
  *this = at;
  line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace weir
