#include "examples/dns_server/answer_writer.h"

#include "absl/strings/str_cat.h"

namespace dns_server {

AnswerWriter::AnswerWriter(absl::string_view name, Question question) : question_size_(name.size()) {
  absl::string_view end = name;
  if (question == Question::kWildcard) end = Parent(end);
  for (; end.size() > 1; end = Parent(end)) {
    const auto at = static_cast<uint16_t>(kHeaderSize + name.size() - end.size());
    targets_.try_emplace(std::string(end), Target{at, question != Question::kOwner});
  }
}

void AnswerWriter::AddU16(size_t value) {
  bytes_ += static_cast<char>(value >> 8);
  bytes_ += static_cast<char>(value);
}

void AnswerWriter::AddPointer(Target target) {
  if (target.moves) moving_.push_back(static_cast<uint16_t>(bytes_.size()));
  AddU16(0xc000 | target.offset);
}

void AnswerWriter::AddName(absl::string_view name) {
  const std::string lower = Lower(name);
  absl::string_view left = lower;
  for (; left.size() > 1; left = Parent(left)) {
    const auto known = targets_.find(left);
    if (known != targets_.end()) return AddPointer(known->second);
    if (offset() <= kMaxTarget) targets_.try_emplace(std::string(left), Target{static_cast<uint16_t>(offset()), true});
    const size_t at = name.size() - left.size();
    absl::StrAppend(&bytes_, name.substr(at, left.size() - Parent(left).size()));
  }
  bytes_ += '\0';
}

void AnswerWriter::AddRecord(absl::string_view owner, const RrSet& set, const Record& record) {
  if (owner.empty()) {
    AddPointer({kHeaderSize, false});
  } else {
    AddName(owner);
  }
  AddU16(set.type);
  AddU16(kClassIn);
  AddU16(set.ttl >> 16);
  AddU16(set.ttl & 0xffff);
  const size_t length_at = bytes_.size();
  AddU16(0);
  size_t written = 0;
  for (size_t i = 0; i < record.names.size(); ++i) {
    const NameInRdata& name = record.names[i];
    if (!name.compressible) continue;
    bytes_.append(record.rdata, written, name.offset - written);
    AddName(record.name(i));
    written = name.offset + name.size;
  }
  bytes_.append(record.rdata, written);
  const size_t length = bytes_.size() - length_at - 2;
  bytes_[length_at] = static_cast<char>(length >> 8);
  bytes_[length_at + 1] = static_cast<char>(length);
}

bool AnswerWriter::Add(Section section, absl::string_view owner, const RrSet& set, bool required) {
  const size_t size = bytes_.size(), moving = moving_.size(), begin = offset();
  for (const Record* record : set.records) {
    AddRecord(owner, set, *record);
    if (bytes_.size() <= kMaxSize) continue;
    bytes_.resize(size);
    moving_.resize(moving);
    absl::erase_if(targets_, [&](const auto& target) { return target.second.offset >= begin; });
    return false;
  }
  counts_[section] = static_cast<uint16_t>(counts_[section] + set.records.size());
  sets_.push_back({static_cast<uint16_t>(bytes_.size()), counts_, required});
  return true;
}

}  // namespace dns_server
