#include "examples/dns_server/query.h"

#include <algorithm>
#include <optional>

#include "runtime/base/byte_order.h"

namespace dns_server {
namespace {

using weir::runtime::LoadBe16;
using weir::runtime::LoadBe32;
using weir::runtime::LoadU8;

using Bytes = std::span<const std::byte>;

constexpr size_t kRecordFixed = 10;  // type, class, TTL and the length of the data, behind the name
constexpr uint32_t kDnssecOk = 0x8000;

// Where the name at kHeaderSize ends. A pointer has nothing before it that it could point to, so it is malformed.
std::optional<size_t> QuestionNameEnd(Bytes message) {
  const size_t end = std::min(message.size(), kHeaderSize + kMaxName);
  for (size_t at = kHeaderSize; at < end;) {
    const uint8_t length = LoadU8(&message[at]);
    if (length == 0) return at + 1;
    if (length > kMaxLabel) return std::nullopt;
    at += 1 + length;
  }
  return std::nullopt;
}

// Where the name at `at` ends, in a record that is not looked into: pointers are not followed.
std::optional<size_t> SkipName(Bytes message, size_t at) {
  const size_t end = std::min(message.size(), at + kMaxName);
  while (at < end) {
    const uint8_t length = LoadU8(&message[at]);
    if (length == 0) return at + 1;
    if ((length & 0xc0) == 0xc0) return at + 2 <= message.size() ? std::optional(at + 2) : std::nullopt;
    if (length > kMaxLabel) return std::nullopt;
    at += 1 + length;
  }
  return std::nullopt;
}

bool ParseQuestion(Bytes message, Query* query) {
  const std::optional<size_t> name_end = QuestionNameEnd(message);
  if (!name_end.has_value() || *name_end + 4 > message.size()) return false;
  query->name_size = static_cast<uint16_t>(*name_end - kHeaderSize);
  const char* name = reinterpret_cast<const char*>(&message[kHeaderSize]);
  for (size_t i = 0; i < query->name_size; ++i) query->lower_name[i] = ToLower(name[i]);
  query->type = LoadBe16(&message[*name_end]);
  query->question_end = *name_end + 4;
  return true;
}

// The OPT record whose type is at `at` (RFC 6891 §6.1.2).
void ParseOpt(const std::byte* at, Query* query) {
  query->edns = true;
  query->udp_size = std::max<uint16_t>(LoadBe16(at + 2), kMinUdpSize);
  const uint32_t ttl = LoadBe32(at + 4);
  query->dnssec_ok = (ttl & kDnssecOk) != 0;
  if ((ttl >> 16 & 0xff) != 0) query->rcode = Rcode::kBadVers;
}

// All records behind the question; false: malformed, or not where the message ends, or a second OPT, or one with a name
// or in another section (RFC 6891 §6.1.1). Its options are none that this server knows.
bool ParseRecords(Bytes message, Query* query) {
  size_t at = query->question_end;
  const uint32_t before = LoadBe16(&message[6]) + LoadBe16(&message[8]);  // in the answer and authority sections
  const uint32_t records = before + LoadBe16(&message[10]);
  for (uint32_t i = 0; i < records; ++i) {
    const size_t name = at;
    const std::optional<size_t> name_end = SkipName(message, at);
    if (!name_end.has_value() || *name_end + kRecordFixed > message.size()) return false;
    at = *name_end + kRecordFixed + LoadBe16(&message[*name_end + 8]);
    if (at > message.size()) return false;
    if (LoadBe16(&message[*name_end]) != kTypeOpt) continue;
    if (query->edns || i < before || *name_end != name + 1) return false;
    ParseOpt(&message[*name_end], query);
  }
  return at == message.size();
}

}  // namespace

bool ParseQuery(Bytes message, Query* query) {
  if (message.size() < kHeaderSize || (LoadU8(&message[kFlagsOffset]) & kQr) != 0) return false;
  const bool one = LoadBe16(&message[kCountsOffset]) == 1;
  const bool question = one && ParseQuestion(message, query);
  if ((LoadU8(&message[kFlagsOffset]) & kOpcodeMask) != 0) {
    query->rcode = Rcode::kNotImp;
    return true;
  }
  // RFC 9619: of more than one question no sense can be made. None at all asks for nothing.
  if (!question || !ParseRecords(message, query)) {
    query->rcode = Rcode::kFormErr;
    return true;
  }
  if (query->rcode != Rcode::kNoError) return true;
  const uint16_t query_class = LoadBe16(&message[query->question_end - 2]);
  const bool transfer = query->type == kTypeAxfr || query->type == kTypeIxfr;
  if (query_class != kClassIn || transfer) query->rcode = Rcode::kRefused;
  return true;
}

}  // namespace dns_server
