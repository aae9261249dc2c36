#include "examples/dns_server/response.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "examples/dns_server/query.h"
#include "examples/dns_server/wire.h"
#include "runtime/base/byte_order.h"

namespace dns_server {
namespace {

using weir::runtime::LoadBe16;
using weir::runtime::LoadU8;
using weir::runtime::StoreBe16;
using weir::runtime::StoreBe32;

constexpr uint32_t kDnssecOk = 0x8000;

// What is said, and how much of it.
struct Plan {
  const Answer* answer = nullptr;  // none: header, question and OPT alone
  Rcode rcode;
  size_t body = 0;   // bytes of `answer`
  size_t cname = 0;  // and of the CNAME that a DNAME makes
  std::array<uint16_t, 3> counts{};
  bool truncated = false;
};

// The CNAME of `name`, below a DNAME: its own first labels, and then the DNAME's target. 0: it would be too long.
size_t CnameSize(const Dname& dname, const Query& query) {
  const size_t name = query.name_size - dname.owner_size + dname.target.size();
  return name <= kMaxName ? 2 + 10 + name : 0;
}

// As many whole RRsets as `room` has.
void Truncate(std::span<const SetEnd> sets, size_t room, Plan* plan) {
  plan->body = 0;
  plan->counts = {};
  for (const SetEnd& set : sets) {
    if (set.end <= room && !plan->truncated) {
      plan->body = set.end;
      plan->counts = set.counts;
    } else {
      plan->truncated = plan->truncated || set.required;
      room = 0;
    }
  }
}

Plan MakePlan(const AnswerTable& table, const Query& query, size_t room) {
  if (query.rcode != Rcode::kNoError) return {.rcode = query.rcode};
  const Answer& answer = table.Find(query.name(), query.type);
  Plan plan{.answer = &answer, .rcode = answer.rcode, .body = answer.size, .counts = answer.counts};
  if (answer.dname.has_value()) [[unlikely]] {
    plan.cname = CnameSize(table.dname(answer), query);
    if (plan.cname == 0) plan.rcode = Rcode::kYxDomain;  // RFC 6672 §2.2
    plan.counts[0] = plan.cname == 0 ? 1 : 2;
  }
  if (plan.body + plan.cname > room) [[unlikely]] {
    plan.cname = 0;
    Truncate(table.sets(answer), room, &plan);
    plan.truncated = plan.truncated || answer.dname.has_value();
  }
  return plan;
}

void WriteHeader(std::byte* at, const Plan& plan, const Query& query) {
  const uint8_t kept = LoadU8(at + kFlagsOffset) & (kOpcodeMask | kRd);
  const bool authoritative = plan.answer != nullptr && plan.answer->authoritative;
  at[kFlagsOffset] = std::byte(kQr | kept | (authoritative ? kAa : 0) | (plan.truncated ? kTc : 0));
  at[kRcodeOffset] = std::byte(static_cast<uint8_t>(plan.rcode) & 0xf);  // no recursion here: RA is 0
  StoreBe16(at + kCountsOffset, query.has_question() ? 1 : 0);
  StoreBe16(at + kCountsOffset + 2, plan.counts[0]);
  StoreBe16(at + kCountsOffset + 4, plan.counts[1]);
  StoreBe16(at + kCountsOffset + 6, static_cast<uint16_t>(plan.counts[2] + (query.edns ? 1 : 0)));
}

// The prepared bytes; pointers to what lies further back now, as the question is longer, are moved.
void WriteBody(std::byte* at, const AnswerTable& table, const Plan& plan, const Query& query) {
  const Answer& answer = *plan.answer;
  std::memcpy(at, table.bytes(answer).data(), plan.body);
  const auto further = static_cast<uint16_t>(query.name_size - answer.question_size);
  if (further == 0) return;
  for (const uint16_t pointer : table.moving(answer)) {
    if (pointer >= plan.body) break;
    StoreBe16(at + pointer, static_cast<uint16_t>(LoadBe16(at + pointer) + further));
  }
}

// `question` is the name of the question, in the case that it came in.
void WriteCname(std::byte* at, const Dname& dname, const std::byte* question, const Query& query, size_t size) {
  StoreBe16(at, 0xc000 | kHeaderSize);
  StoreBe16(at + 2, kTypeCname);
  StoreBe16(at + 4, kClassIn);
  StoreBe32(at + 6, dname.ttl);
  StoreBe16(at + 10, static_cast<uint16_t>(size - 12));
  const size_t first = query.name_size - dname.owner_size;
  std::memcpy(at + 12, question, first);
  std::memcpy(at + 12 + first, dname.target.data(), dname.target.size());
}

void WriteOpt(std::byte* at, const Plan& plan, const Query& query) {
  at[0] = std::byte(0);
  StoreBe16(at + 1, kTypeOpt);
  StoreBe16(at + 3, kMaxUdpSize);
  const uint32_t high = static_cast<uint32_t>(plan.rcode) >> 4;
  StoreBe32(at + 5, high << 24 | (query.dnssec_ok ? kDnssecOk : 0));
  StoreBe16(at + 9, 0);
}

}  // namespace

size_t WriteResponse(const AnswerTable& table, Transport transport, std::span<const std::byte> message,
                     std::span<std::byte> out) {
  Query query;
  if (!ParseQuery(message, &query)) return 0;
  const size_t limit = transport == Transport::kTcp ? kMaxMessage : std::min<size_t>(query.udp_size, kMaxUdpSize);
  const size_t opt = query.edns ? kOptSize : 0;
  const size_t question = query.question_end;
  const Plan plan = MakePlan(table, query, limit - question - opt);
  const size_t size = question + plan.body + plan.cname + opt;
  if (size > out.size()) return size;
  if (out.data() != message.data()) std::memcpy(out.data(), message.data(), question);
  std::byte* const end_of_question = out.data() + question;
  WriteHeader(out.data(), plan, query);
  if (plan.body != 0) WriteBody(end_of_question, table, plan, query);
  if (plan.cname != 0) {
    WriteCname(end_of_question + plan.body, table.dname(*plan.answer), out.data() + kHeaderSize, query, plan.cname);
  }
  if (query.edns) WriteOpt(end_of_question + plan.body + plan.cname, plan, query);
  return size;
}

}  // namespace dns_server
