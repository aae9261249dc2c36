#include "examples/dns_server/answer_composer.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace dns_server {
namespace {

bool HasAddressTargets(uint16_t type) { return type == kTypeNs || type == kTypeMx || type == kTypeSrv; }

}  // namespace

absl::Status AnswerComposer::Add(AnswerWriter::Section section, absl::string_view owner, const RrSet& set) {
  if (writer_.Add(section, owner, set, /*required=*/true)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(zone_.path(), ":", set.records.front()->line,
                                                 ": an answer with these records is longer than any message"));
}

// Of what `set` names, with what the zone knows (RFC 1034 §4.3.2, step 6). What lies below `cut`, if that is not
// empty, is needed to get on (RFC 9471); the rest may be left out.
void AnswerComposer::AddAddresses(const RrSet& set, absl::string_view cut) {
  for (const Record* record : set.records) {
    const std::string target = Lower(record->name(0));
    const ZoneNode* node = zone_.Find(target);
    if (node == nullptr || with_addresses_.contains(node->name)) continue;
    with_addresses_.insert(node->name);
    const bool glue = !cut.empty() && IsAtOrBelow(target, cut);
    if (set.type != kTypeNs && zone_.Locate(target).kind != Zone::Place::kNode) continue;
    for (const uint16_t type : {kTypeA, kTypeAaaa}) {
      const RrSet* addresses = node->Find(type);
      if (addresses != nullptr) writer_.Add(AnswerWriter::kAdditional, node->owner, *addresses, glue);
    }
  }
}

absl::Status AnswerComposer::AddSoa() {
  return Add(AnswerWriter::kAuthority, zone_.Find(zone_.apex())->owner, zone_.negative_soa());
}

absl::Status AnswerComposer::Refer(const ZoneNode& node) {
  const RrSet& servers = *node.Find(kTypeNs);
  absl::Status added = Add(AnswerWriter::kAuthority, node.owner, servers);
  if (added.ok()) AddAddresses(servers, node.name);
  return added;
}

absl::Status AnswerComposer::AddDname(const ZoneNode& node) {
  return Add(AnswerWriter::kAnswer, node.owner, *node.Find(kTypeDname));
}

absl::Status AnswerComposer::Resolve(absl::string_view name, uint16_t type) {
  std::set<std::string> seen;
  std::string at(name);
  absl::string_view owner;  // the question's, first
  for (int hop = 0; hop <= kMaxChain; ++hop) {
    if (!seen.insert(at).second) break;  // round and round: that is what the zone says
    const Zone::Place place = zone_.Locate(at);
    // The DS of a cut is on this side of it (RFC 4035 §3.1.4.1).
    const bool parent_side = place.kind == Zone::Place::kDelegation && type == kTypeDs && place.node->name == at;
    if (place.kind == Zone::Place::kDelegation && !parent_side) return Refer(*place.node);
    if (place.kind == Zone::Place::kOutside || place.kind == Zone::Place::kDname) break;
    if (place.kind == Zone::Place::kNothing) {
      rcode_ = Rcode::kNxDomain;  // of the last name of a chain (RFC 6604 §3)
      return AddSoa();
    }
    if (const RrSet* set = place.node->Find(type)) {
      absl::Status added = Add(AnswerWriter::kAnswer, owner, *set);
      if (added.ok() && HasAddressTargets(type)) AddAddresses(*set, {});
      return added;
    }
    const RrSet* alias = place.node->Find(kTypeCname);
    if (alias == nullptr) return AddSoa();
    absl::Status added = Add(AnswerWriter::kAnswer, owner, *alias);
    if (!added.ok()) return added;
    owner = alias->records[0]->name(0);
    at = Lower(owner);
  }
  return absl::OkStatus();
}

std::set<uint16_t> AnswerComposer::TypesOf(const Zone& zone, const ZoneNode& node) {
  std::set<uint16_t> types;
  const ZoneNode* at = &node;
  for (int hop = 0; hop <= kMaxChain && at != nullptr; ++hop) {
    for (const auto& [type, set] : at->sets) types.insert(type);
    const RrSet* alias = at->Find(kTypeCname);
    at = alias != nullptr ? zone.Locate(Lower(alias->records[0]->name(0))).node : nullptr;
    if (alias != nullptr) types.insert(kTypeDs);  // where there is none, a cut answers all the same
  }
  return types;
}

}  // namespace dns_server
