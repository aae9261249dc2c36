#include "netstack/wire/multicast.h"

#include <algorithm>
#include <limits>

#include "netstack/wire/ipv6.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {

IpAddress MulticastSources::operator[](size_t i) const {
  const std::byte* p = &bytes_[i * address_size_];
  return address_size_ == 4 ? IpAddress::V4(runtime::LoadBe32(p)) : LoadIpv6Address(p);
}

bool MulticastQueryFields::ParseRest(std::span<const std::byte> rest, size_t address_size) {
  const uint8_t flags = runtime::LoadU8(&rest[0]);
  suppress = (flags & 0x08) != 0;
  robustness = flags & 0x07;
  query_interval_s = DecodeMulticastCode(runtime::LoadU8(&rest[1]), 4);  // RFC 3376 §4.1.7, RFC 3810 §5.1.9
  const size_t sources_size = address_size * runtime::LoadBe16(&rest[2]);
  if (rest.size() - kRest < sources_size) return false;
  sources = MulticastSources(rest.subspan(kRest, sources_size), address_size);
  return true;
}

MulticastReportWriter::MulticastReportWriter(std::span<std::byte> out, uint8_t type, size_t address_size)
    : out_(out), address_size_(address_size) {
  runtime::StoreBe32(out_.data(), uint32_t{type} << 24);
}

std::optional<size_t> MulticastReportWriter::Add(MulticastRecordType type, const IpAddress& group,
                                                 std::span<const IpAddress> sources) {
  constexpr uint16_t kMaxCount = std::numeric_limits<uint16_t>::max();
  const size_t header = 4 + address_size_;
  if (records_ == kMaxCount || room() < header + (sources.empty() ? 0 : address_size_)) return std::nullopt;
  const size_t count = std::min({sources.size(), (room() - header) / address_size_, size_t{kMaxCount}});
  // Record type, length of auxiliary data (none), number of sources (RFC 3376 §4.2.4, RFC 3810 §5.2.4).
  runtime::StoreBe16(&out_[size_], static_cast<uint16_t>(static_cast<uint8_t>(type) << 8));
  runtime::StoreBe16(&out_[size_ + 2], static_cast<uint16_t>(count));
  size_ += 4;
  Append(group);
  for (const IpAddress& source : sources.first(count)) Append(source);
  ++records_;
  return count;
}

size_t MulticastReportWriter::Finish() {
  runtime::StoreBe32(&out_[4], records_);
  return size_;
}

void MulticastReportWriter::Append(const IpAddress& address) {
  if (address_size_ == 4) {
    runtime::StoreBe32(&out_[size_], address.v4());
  } else {
    StoreIpv6Address(&out_[size_], address);
  }
  size_ += address_size_;
}

}  // namespace weir::netstack
