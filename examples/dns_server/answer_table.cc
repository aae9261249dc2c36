#include "examples/dns_server/answer_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/dns_server/answer_composer.h"

namespace dns_server {

// Fills a table, zone by zone.
class TableBuilder {
 public:
  TableBuilder(const std::vector<Zone>& zones, AnswerTable& table) : table_(table) {
    table_.answers_.push_back({.rcode = Rcode::kRefused});  // number 0
    for (const Zone& zone : zones) zones_.emplace(zone.apex(), &zone);
  }

  absl::Status Add(const Zone& zone) {
    if (zones_.at(zone.apex()) != &zone) {
      return absl::InvalidArgumentError(absl::StrCat(zone.path(), ": the zone ", NameText(zone.apex()), " is in ",
                                                     zones_.at(zone.apex())->path(), ", too"));
    }
    zone_ = &zone;
    referrals_.clear();
    AnswerWriter writer(zone.apex(), AnswerWriter::Question::kBelow);
    AnswerComposer composer(zone, writer);
    absl::Status status = composer.AddSoa();
    no_data_ = Keep(writer, {.authoritative = true});
    nx_domain_ = Keep(writer, {.rcode = Rcode::kNxDomain, .authoritative = true});
    for (auto at = zone.nodes().begin(); at != zone.nodes().end() && status.ok(); ++at) {
      if (ZoneOf(at->first) == &zone) status = AddNode(at->second);
    }
    return status;
  }

  // When all zones are there: who stands for names that are not.
  void LinkWildcards() {
    for (auto& [name, node] : table_.nodes_) {
      const auto found = table_.nodes_.find(absl::StrCat("\1*", name));
      if (found != table_.nodes_.end()) node.wildcard = &found->second;
    }
  }

 private:
  using Place = Zone::Place;

  // Whose data a name is: the zone with the longest apex.
  const Zone* ZoneOf(absl::string_view name) const {
    for (;; name = Parent(name)) {
      const auto found = zones_.find(name);
      if (found != zones_.end() || name.size() == 1) return found != zones_.end() ? found->second : nullptr;
    }
  }

  uint32_t Keep(const AnswerWriter& writer, Answer answer) {
    answer.bytes = static_cast<uint32_t>(table_.bytes_.size());
    answer.moving = static_cast<uint32_t>(table_.moving_.size());
    answer.sets = static_cast<uint32_t>(table_.sets_.size());
    answer.size = static_cast<uint16_t>(writer.bytes().size());
    answer.moving_count = static_cast<uint16_t>(writer.moving().size());
    answer.set_count = static_cast<uint16_t>(writer.sets().size());
    answer.question_size = static_cast<uint16_t>(writer.question_size());
    if (!writer.sets().empty()) answer.counts = writer.sets().back().counts;
    table_.bytes_ += writer.bytes();
    table_.moving_.insert(table_.moving_.end(), writer.moving().begin(), writer.moving().end());
    table_.sets_.insert(table_.sets_.end(), writer.sets().begin(), writer.sets().end());
    table_.answers_.push_back(answer);
    return static_cast<uint32_t>(table_.answers_.size() - 1);
  }

  absl::StatusOr<uint32_t> Resolved(const Zone& zone, absl::string_view name, uint16_t type) {
    const bool wildcard = absl::string_view(name).substr(0, 2) == "\1*";
    AnswerWriter writer(name, wildcard ? AnswerWriter::Question::kWildcard : AnswerWriter::Question::kOwner);
    AnswerComposer composer(zone, writer);
    absl::Status status = composer.Resolve(name, type);
    if (!status.ok()) return status;
    return Keep(writer, {.rcode = composer.rcode(), .authoritative = true});
  }

  absl::StatusOr<uint32_t> Referral(const ZoneNode& cut) {
    const auto known = referrals_.find(&cut);
    if (known != referrals_.end()) return known->second;
    AnswerWriter writer(cut.name, AnswerWriter::Question::kBelow);
    absl::Status status = AnswerComposer(*zone_, writer).Refer(cut);
    if (!status.ok()) return status;
    return referrals_[&cut] = Keep(writer, {});
  }

  absl::StatusOr<uint32_t> DnameAnswer(const ZoneNode& owner) {
    AnswerWriter writer(owner.name, AnswerWriter::Question::kBelow);
    absl::Status status = AnswerComposer(*zone_, writer).AddDname(owner);
    if (!status.ok()) return status;
    const RrSet& set = *owner.Find(kTypeDname);
    const auto number = static_cast<uint32_t>(table_.dnames_.size());
    table_.dnames_.push_back({owner.name.size(), std::string(set.records[0]->name(0)), set.ttl});
    return Keep(writer, {.authoritative = true, .dname = number});
  }

  // The answers for `types` of `node`, one after the other.
  absl::Status AddTypes(const Zone& zone, const ZoneNode& node, const std::set<uint16_t>& types,
                        AnswerTable::Node* out) {
    for (const uint16_t type : types) {
      absl::StatusOr<uint32_t> answer = Resolved(zone, node.name, type);
      if (!answer.ok()) return answer.status();
      table_.types_.push_back({type, *answer});
      ++out->count;
    }
    return absl::OkStatus();
  }

  absl::Status AddNode(const ZoneNode& node) {
    AnswerTable::Node out{.first = static_cast<uint32_t>(table_.types_.size())};
    const Place place = zone_->Locate(node.name);
    absl::Status status = place.kind == Place::kDelegation ? AddBelowCut(node, *place.node, &out) : AddOwn(node, &out);
    if (!status.ok()) return status;
    const std::string& key = table_.names_.emplace_back(node.name);
    table_.longest_ = std::max(table_.longest_, key.size());
    table_.nodes_.emplace(key, out);
    return absl::OkStatus();
  }

  absl::Status AddBelowCut(const ZoneNode& node, const ZoneNode& cut, AnswerTable::Node* out) {
    absl::StatusOr<uint32_t> referral = Referral(cut);
    if (!referral.ok()) return referral.status();
    out->other = out->below = *referral;
    return &node == &cut ? AddTypes(*zone_, node, {kTypeDs}, out) : absl::OkStatus();
  }

  absl::Status AddOwn(const ZoneNode& node, AnswerTable::Node* out) {
    out->other = no_data_;
    out->below = nx_domain_;
    std::set<uint16_t> types = AnswerComposer::TypesOf(*zone_, node);
    // The DS of the zone is the parent's (RFC 4035 §3.1.4.1), if that is here, too.
    const bool apex = node.name == zone_->apex() && node.name.size() > 1;
    const Zone* parent = apex ? ZoneOf(Parent(node.name)) : nullptr;
    if (parent != nullptr && parent->Find(node.name) == nullptr) parent = nullptr;
    if (parent != nullptr) types.erase(kTypeDs);
    absl::Status status = AddTypes(*zone_, node, types, out);
    if (parent != nullptr) status.Update(AddTypes(*parent, node, {kTypeDs}, out));
    if (node.Find(kTypeCname) != nullptr && status.ok()) {
      absl::StatusOr<uint32_t> alias = Resolved(*zone_, node.name, 0);  // a type that nothing has
      if (!alias.ok()) return alias.status();
      out->other = *alias;
    }
    if (node.Find(kTypeDname) != nullptr && status.ok()) {
      absl::StatusOr<uint32_t> below = DnameAnswer(node);
      if (!below.ok()) return below.status();
      out->below = *below;
    }
    AddAny(node, out);
    return status;
  }

  // RFC 8482 §4.1: one of the node's RRsets, the shortest.
  void AddAny(const ZoneNode& node, AnswerTable::Node* out) {
    std::optional<uint32_t> shortest;
    for (uint32_t i = out->first; i < out->first + out->count; ++i) {
      const auto& [type, answer] = table_.types_[i];
      if (node.Find(type) == nullptr) continue;
      if (!shortest.has_value() || table_.answers_[answer].size < table_.answers_[*shortest].size) shortest = answer;
    }
    if (!shortest.has_value()) return;
    table_.types_.push_back({kTypeAny, *shortest});
    ++out->count;
  }

  AnswerTable& table_;
  std::map<std::string, const Zone*, std::less<>> zones_;  // by apex
  const Zone* zone_ = nullptr;
  uint32_t no_data_ = 0, nx_domain_ = 0;
  std::map<const ZoneNode*, uint32_t> referrals_;  // of zone_
};

absl::StatusOr<AnswerTable> AnswerTable::Make(const std::vector<Zone>& zones) {
  AnswerTable table;
  TableBuilder builder(zones, table);
  for (const Zone& zone : zones) {
    absl::Status added = builder.Add(zone);
    if (!added.ok()) return added;
  }
  builder.LinkWildcards();
  return table;
}

const Answer& AnswerTable::FindType(const Node& node, uint16_t type) const {
  for (uint32_t i = node.first; i < node.first + node.count; ++i) {
    if (types_[i].type == type) return answers_[types_[i].answer];
  }
  return answers_[node.other];
}

const Answer& AnswerTable::Find(absl::string_view name, uint16_t type) const {
  if (const auto found = nodes_.find(name); found != nodes_.end()) [[likely]] return FindType(found->second, type);
  // The closest encloser (RFC 4592 §3.3.1): the longest end of the name that is there.
  while (name.size() > 1) {
    name = Parent(name);
    if (name.size() > longest_) continue;
    const auto found = nodes_.find(name);
    if (found == nodes_.end()) continue;
    const Node& node = found->second;
    return node.wildcard != nullptr ? FindType(*node.wildcard, type) : answers_[node.below];
  }
  return answers_[0];
}

}  // namespace dns_server
