#include "tests/sim/tcp_view.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::sim {

using testing_support::Get16;
using testing_support::Get32;

namespace {

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint8_t IpProtocol(View frame) {
  return std::to_integer<uint8_t>(frame[kEthernet + (FrameType(frame) == 0x0800 ? 9 : 6)]);
}

size_t TransportOffset(View frame) {
  if (FrameType(frame) == 0x86dd) return kEthernet + 40;
  return kEthernet + (std::to_integer<size_t>(frame[kEthernet]) & 15) * 4;
}

int TcpView::WindowScale() const {
  for (size_t i = 0; i < options.size();) {
    const auto kind = std::to_integer<int>(options[i]);
    if (kind == 0) break;
    if (kind == 1) {
      ++i;
      continue;
    }
    if (i + 1 >= options.size()) break;
    if (kind == 3 && i + 2 < options.size()) return std::to_integer<int>(options[i + 2]);
    i += std::max<size_t>(2, std::to_integer<size_t>(options[i + 1]));
  }
  return -1;
}

std::optional<TcpView> ParseTcp(View frame) {
  if (!IsIp(frame) || IpProtocol(frame) != 6) return std::nullopt;
  const size_t at = TransportOffset(frame);
  const size_t end = FrameType(frame) == 0x0800 ? kEthernet + Get16(frame, kEthernet + 2)
                                                : kEthernet + 40 + Get16(frame, kEthernet + 4);
  if (end > frame.size() || at + 20 > end) return std::nullopt;
  const size_t header = (std::to_integer<size_t>(frame[at + 12]) >> 4) * 4;
  if (header < 20 || at + header > end) return std::nullopt;
  return TcpView{.source_port = Get16(frame, at),
                 .destination_port = Get16(frame, at + 2),
                 .seq = Get32(frame, at + 4),
                 .ack = Get32(frame, at + 8),
                 .flags = std::to_integer<uint8_t>(frame[at + 13]),
                 .window = Get16(frame, at + 14),
                 .options = frame.subspan(at + 20, header - 20),
                 .payload = frame.subspan(at + header, end - at - header)};
}

std::string FrameText(int from, View frame) {
  std::string text = from == 0 ? "A > B " : "B > A ";
  const std::optional<TcpView> tcp = ParseTcp(frame);
  if (!tcp.has_value()) {
    return absl::StrFormat("%s%s %d bytes", text, FrameType(frame) == 0x0806 ? "ARP" : "IP without TCP", frame.size());
  }
  absl::StrAppend(&text, tcp->source_port, " > ", tcp->destination_port, " [");
  constexpr absl::string_view kLetters = "FSRPAUEC";
  for (size_t bit = 0; bit < kLetters.size(); ++bit) {
    if ((tcp->flags >> bit & 1) != 0) text += kLetters[bit];
  }
  absl::StrAppend(&text, "] ", tcp->seq, ":", tcp->seq + static_cast<uint32_t>(tcp->payload.size()), " ack ", tcp->ack,
                  " win ", tcp->window);
  if (!tcp->options.empty()) {
    text += " <";
    for (std::byte b : tcp->options) absl::StrAppendFormat(&text, "%02x", std::to_integer<int>(b));
    text += ">";
  }
  return text;
}

void FillPattern(uint64_t key, uint64_t offset, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = offset + done, word = Mix(key + at / 8 * 0x9e3779b97f4a7c15);
    const size_t skip = at % 8, n = std::min(8 - skip, out.size() - done);
    std::memcpy(out.data() + done, reinterpret_cast<const char*>(&word) + skip, n);
    done += n;
  }
}

bool IsPattern(uint64_t key, uint64_t offset, View bytes) {
  std::array<std::byte, 2048> wanted;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), wanted.size());
    FillPattern(key, offset, std::span(wanted).first(n));
    if (std::memcmp(wanted.data(), bytes.data(), n) != 0) return false;
    bytes = bytes.subspan(n);
    offset += n;
  }
  return true;
}

}  // namespace weir::sim
