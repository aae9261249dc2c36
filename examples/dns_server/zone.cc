#include "examples/dns_server/zone.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/dns_server/wire.h"
#include "runtime/base/byte_order.h"

namespace dns_server {
namespace {

constexpr uint16_t kTypeKey = 25;

// What may stand beside a CNAME (RFC 4034 §3, RFC 2181 §10.1).
bool BesideCname(uint16_t type) { return type == kTypeRrsig || type == kTypeNsec || type == kTypeKey; }

}  // namespace

absl::StatusOr<Zone> Zone::Make(ZoneFile file) {
  Zone zone;
  zone.file_ = std::move(file);
  absl::Status added = zone.AddRecords();
  if (!added.ok()) return added;
  for (const auto& [name, node] : zone.nodes_) {
    absl::Status checked = zone.CheckNode(node);
    if (!checked.ok()) return checked;
  }
  zone.negative_soa_ = *zone.Find(zone.apex())->Find(kTypeSoa);
  const std::string& soa = zone.negative_soa_.records[0]->rdata;
  const uint32_t minimum = weir::runtime::LoadBe32(reinterpret_cast<const std::byte*>(soa.data()) + soa.size() - 4);
  zone.negative_soa_.ttl = std::min(zone.negative_soa_.ttl, minimum);
  return zone;
}

absl::Status Zone::AddRecords() {
  for (const Record& record : file_.records) {
    std::string name = Lower(record.owner);
    ZoneNode& node = nodes_[name];
    node.name = name;
    node.owner = record.owner;
    RrSet& set = node.sets.try_emplace(record.type, RrSet{record.type, record.ttl, {}}).first->second;
    set.ttl = std::min(set.ttl, record.ttl);
    set.records.push_back(&record);
    // The names between it and the apex exist, too.
    for (absl::string_view above = name; above.size() > apex().size();) {
      above = Parent(above);
      ZoneNode& empty = nodes_[std::string(above)];
      if (empty.name.empty()) empty.name = empty.owner = std::string(above);
    }
  }
  return absl::OkStatus();
}

absl::Status Zone::CheckNode(const ZoneNode& node) const {
  const auto wrong = [&](const Record& record, absl::string_view reason) {
    return absl::InvalidArgumentError(
        absl::StrCat(path(), ":", record.line, ": ", NameText(node.owner), " ", reason));
  };
  for (const uint16_t single : {kTypeCname, kTypeDname}) {
    const RrSet* set = node.Find(single);
    if (set == nullptr) continue;
    if (set->records.size() > 1) return wrong(*set->records[1], "has several of a type that there is one of");
    if (single == kTypeDname) continue;
    for (const auto& [type, other] : node.sets) {
      if (type != kTypeCname && !BesideCname(type)) return wrong(*other.records[0], "has a CNAME and other data");
    }
  }
  if (!node.sets.empty() && Locate(node.name).kind == Place::kDname) {
    return wrong(*node.sets.begin()->second.records[0], "is below a DNAME");
  }
  return absl::OkStatus();
}

bool Zone::IsCut(const ZoneNode& node) const { return node.name != apex() && node.Find(kTypeNs) != nullptr; }

const ZoneNode* Zone::Find(absl::string_view name) const {
  const auto found = nodes_.find(std::string_view(name.data(), name.size()));
  return found != nodes_.end() ? &found->second : nullptr;
}

Zone::Place Zone::Locate(absl::string_view name) const {
  if (!IsAtOrBelow(name, apex())) return {Place::kOutside};
  std::vector<absl::string_view> path;  // from the name up to below the apex
  for (absl::string_view at = name; at.size() > apex().size(); at = Parent(at)) path.push_back(at);
  const ZoneNode* node = Find(apex());
  for (; !path.empty(); path.pop_back()) {
    if (node->Find(kTypeDname) != nullptr) return {Place::kDname, node};
    const ZoneNode* next = Find(path.back());
    if (next == nullptr) {
      const ZoneNode* wildcard = Find(absl::StrCat("\1*", node->name));
      return wildcard != nullptr ? Place{Place::kWildcard, wildcard} : Place{Place::kNothing};
    }
    if (IsCut(*next)) return {Place::kDelegation, next};
    node = next;
  }
  return {Place::kNode, node};
}

}  // namespace dns_server
