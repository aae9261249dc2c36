#include "netstack/wire/ipv4_options.h"

#include "netstack/wire/ipv4.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe32, runtime::LoadU8, runtime::StoreBe32;

constexpr uint8_t kEnd = 0, kNop = 1, kRecordRoute = 7, kTimestamp = 0x44, kLooseSourceRoute = 0x83,
                  kStrictSourceRoute = 0x89, kRouterAlert = 0x94;
// Fields of an option, from its beginning. The pointer counts from 1.
constexpr size_t kLength = 1, kPointer = 2, kFlags = 3;
// Flags of the timestamp; the upper half of the byte counts hosts that found no room.
constexpr uint8_t kTimestampOnly = 0, kTimestampAndAddress = 1, kTimestampPrespecified = 3, kFlagMask = 0xf;
constexpr uint8_t kMaxOverflow = 15;

bool HasRoom(uint8_t pointer, uint8_t length) { return pointer <= length; }

// The offset in the option of what is wrong with it; 0 when nothing is.
size_t RecordRouteProblem(const std::byte* option, uint8_t length) {
  if (length < 3) return kLength;
  const uint8_t pointer = LoadU8(option + kPointer);
  if (pointer < 4 || (HasRoom(pointer, length) && pointer + 3 > length)) return kPointer;
  return 0;
}

size_t TimestampProblem(const std::byte* option, uint8_t length) {
  if (length < 4) return kLength;
  const uint8_t pointer = LoadU8(option + kPointer), flags = LoadU8(option + kFlags);
  if (pointer < 5) return kPointer;
  const bool addresses = (flags & kFlagMask) == kTimestampAndAddress || (flags & kFlagMask) == kTimestampPrespecified;
  if (HasRoom(pointer, length)) return pointer + (addresses ? 7 : 3) > length ? kPointer : 0;
  return flags >> 4 == kMaxOverflow && (flags & kFlagMask) != kTimestampPrespecified ? kFlags : 0;
}

void RecordRoute(std::byte* option, uint32_t ip) {
  const uint8_t length = LoadU8(option + kLength), pointer = LoadU8(option + kPointer);
  if (pointer + 3 > length) return;
  StoreBe32(option + pointer - 1, ip);
  option[kPointer] = std::byte(pointer + 4);
}

void RecordTimestamp(std::byte* option, uint32_t ip, uint32_t time, bool count_overflow) {
  const uint8_t length = LoadU8(option + kLength), pointer = LoadU8(option + kPointer);
  const uint8_t flags = LoadU8(option + kFlags);
  const uint8_t kind = flags & kFlagMask;
  if (!HasRoom(pointer, length)) {
    const bool counted = count_overflow && kind != kTimestampPrespecified && flags >> 4 < kMaxOverflow;
    if (counted) option[kFlags] = std::byte(flags + 0x10);
    return;
  }
  std::byte* place = option + pointer - 1;
  uint8_t size = 4;
  if (kind == kTimestampAndAddress || kind == kTimestampPrespecified) {
    size = 8;
    if (pointer + 7 > length) return;
    if (kind == kTimestampPrespecified && LoadBe32(place) != ip) return;
    StoreBe32(place, ip);
    place += 4;
  } else if (kind != kTimestampOnly || pointer + 3 > length) {
    return;
  }
  StoreBe32(place, time);
  option[kPointer] = std::byte(pointer + size);
}

}  // namespace

Ipv4Options Ipv4Options::Parse(std::span<const std::byte> header) {
  Ipv4Options found;
  const auto problem = [](size_t at) { return Ipv4Options{.problem = static_cast<uint8_t>(at)}; };
  for (size_t at = Ipv4Header::kMinSize; at < header.size();) {
    const std::byte* option = &header[at];
    const uint8_t type = LoadU8(option);
    if (type == kEnd) break;
    if (type == kNop) {
      ++at;
      continue;
    }
    const size_t left = header.size() - at;
    const uint8_t length = left < 2 ? uint8_t{0} : LoadU8(option + kLength);
    if (length < 2 || length > left) return problem(at);
    size_t wrong = 0;
    if (type == kRecordRoute || type == kTimestamp) {
      uint8_t& place = type == kRecordRoute ? found.record_route : found.timestamp;
      if (place != 0) return problem(at);  // each at most once
      place = static_cast<uint8_t>(at);
      wrong = type == kRecordRoute ? RecordRouteProblem(option, length) : TimestampProblem(option, length);
    } else if (type == kRouterAlert) {
      if (length < 4) wrong = kLength;
      found.router_alert = true;
    }
    if (wrong != 0) return problem(at + wrong);
    found.source_route |= type == kLooseSourceRoute || type == kStrictSourceRoute;
    at += length;
  }
  return found;
}

void RecordPassage(std::span<std::byte> header, const Ipv4Options& options, uint32_t ip, uint32_t time,
                   bool count_overflow) {
  if (options.record_route != 0) RecordRoute(&header[options.record_route], ip);
  if (options.timestamp != 0) RecordTimestamp(&header[options.timestamp], ip, time, count_overflow);
}

}  // namespace weir::netstack
