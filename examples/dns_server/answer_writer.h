// AnswerWriter: what of a response follows its question, with compressed names (RFC 1035 §4.1.4), written once when a
// zone is loaded.
//
// The question of a later query is not known then, but for what all that get this answer share: it is the owner itself,
// or ends with a name that is known. Pointers to the end of the question, and to what follows it, lie further back when
// the question is longer: `moving` says where they are. See Answer in answer_table.h.
#ifndef EXAMPLES_DNS_SERVER_ANSWER_WRITER_H_
#define EXAMPLES_DNS_SERVER_ANSWER_WRITER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "examples/dns_server/wire.h"
#include "examples/dns_server/zone.h"

namespace dns_server {

// The end of an RRset in an answer, and how many records each section has up to there.
struct SetEnd {
  uint16_t end;  // bytes behind the question
  std::array<uint16_t, 3> counts;
  bool required;  // without it the answer is truncated (RFC 2181 §9)
};

class AnswerWriter {
 public:
  enum Section { kAnswer, kAuthority, kAdditional };
  enum class Question {
    kOwner,     // exactly `name`
    kWildcard,  // `name` begins with the label "*", and something else is there instead
    kBelow,     // `name`, or one below it
  };
  // So much that with the longest question and OPT a message is full.
  static constexpr size_t kMaxSize = kMaxMessage - kHeaderSize - kMaxName - 4 - kOptSize;

  // `name` in lower case.
  AnswerWriter(absl::string_view name, Question question);

  // Sections are written in their order. `owner` empty: the question's own name, whatever that will be. False: it does
  // not fit, and nothing was written.
  bool Add(Section section, absl::string_view owner, const RrSet& set, bool required);

  size_t question_size() const { return question_size_; }
  const std::string& bytes() const { return bytes_; }
  const std::vector<uint16_t>& moving() const { return moving_; }
  const std::vector<SetEnd>& sets() const { return sets_; }

 private:
  // Pointers reach 14 bits far, also when the question is as long as can be.
  static constexpr size_t kMaxTarget = 0x3fff - kMaxName;
  struct Target {
    uint16_t offset;  // in a message whose question is `name`
    bool moves;
  };

  size_t offset() const { return kHeaderSize + question_size_ + 4 + bytes_.size(); }
  void AddU16(size_t value);
  void AddName(absl::string_view name);
  void AddPointer(Target target);
  void AddRecord(absl::string_view owner, const RrSet& set, const Record& record);

  const size_t question_size_;
  std::string bytes_;
  std::vector<uint16_t> moving_;
  std::vector<SetEnd> sets_;
  std::array<uint16_t, 3> counts_{};
  absl::flat_hash_map<std::string, Target> targets_;  // a name or the end of one, in lower case
};

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_ANSWER_WRITER_H_
