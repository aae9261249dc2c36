#include "netstack/wire/igmp.h"

#include "netstack/wire/checksum.h"
#include "runtime/base/byte_order.h"

namespace weir::netstack {
namespace {

using runtime::LoadBe32, runtime::LoadU8;

constexpr size_t kV2Query = 8;
constexpr size_t kV3Query = kV2Query + MulticastQueryFields::kRest;
constexpr uint32_t kTenthMs = 100;
constexpr uint32_t kV1MaxResponseMs = 10'000;  // RFC 2236 §4
constexpr int kMantissaBits = 4;

}  // namespace

bool IgmpQuery::Parse(std::span<const std::byte> message) {
  if (message.size() < kV2Query || LoadU8(&message[0]) != kIgmpQuery) return false;
  const uint8_t code = LoadU8(&message[1]);
  group = LoadBe32(&message[4]);
  if (message.size() == kV2Query) {  // RFC 3376 §7.1
    version = code == 0 ? 1 : 2;
    max_response_ms = code == 0 ? kV1MaxResponseMs : code * kTenthMs;
    return true;
  }
  if (message.size() < kV3Query) return false;
  version = 3;
  max_response_ms = DecodeMulticastCode(code, kMantissaBits) * kTenthMs;
  return ParseRest(message.subspan(kV2Query), 4);
}

bool IgmpMessage::Parse(std::span<const std::byte> message) {
  if (message.size() < kSize) return false;
  type = LoadU8(&message[0]);
  group = LoadBe32(&message[4]);
  return type == kIgmpV1Report || type == kIgmpV2Report || type == kIgmpV2Leave;
}

void IgmpMessage::Emit(std::byte* p) const {
  runtime::StoreBe32(p, uint32_t{type} << 24);
  runtime::StoreBe32(p + 4, group);
  StoreChecksum(p + kIgmpChecksumOffset, FinishChecksum(SumBytes({p, kSize})));
}

size_t IgmpV3ReportWriter::Finish() {
  const size_t size = MulticastReportWriter::Finish();
  StoreChecksum(&out_[kIgmpChecksumOffset], FinishChecksum(SumBytes(out_.first(size))));
  return size;
}

}  // namespace weir::netstack
