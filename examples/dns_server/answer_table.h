// AnswerTable: every answer that the zones can give, prepared: the bytes that follow the question, names compressed.
// A query costs one look into a hash table, for a name that does not exist one for each label more.
//
// Of one zone: a zone cut is answered with a referral, names below the cut too, a CNAME with what it leads to in this
// zone. Signatures are served as any other data, but are not added to answers (RFC 4035 §3.1 is not done).
#ifndef EXAMPLES_DNS_SERVER_ANSWER_TABLE_H_
#define EXAMPLES_DNS_SERVER_ANSWER_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "examples/dns_server/answer_writer.h"
#include "examples/dns_server/wire.h"
#include "examples/dns_server/zone.h"

namespace dns_server {

// A DNAME, whose CNAME is made for each query (RFC 6672 §3.1).
struct Dname {
  size_t owner_size;
  std::string target;
  uint32_t ttl;
};

struct Answer {
  uint32_t bytes = 0;  // in the table, as the next two
  uint32_t moving = 0;
  uint32_t sets = 0;
  uint16_t size = 0;
  uint16_t moving_count = 0;
  uint16_t set_count = 0;
  uint16_t question_size = 0;  // of the name that it was written for
  std::array<uint16_t, 3> counts{};
  Rcode rcode = Rcode::kNoError;
  bool authoritative = false;
  std::optional<uint32_t> dname = std::nullopt;
};

class AnswerTable {
 public:
  // kInvalidArgument: two zones of one name, or (with the line) an RRset that fits no message.
  static absl::StatusOr<AnswerTable> Make(const std::vector<Zone>& zones);

  // `name` in lower case. kRefused when it is in no zone.
  const Answer& Find(absl::string_view name, uint16_t type) const;

  std::span<const std::byte> bytes(const Answer& answer) const {
    return {reinterpret_cast<const std::byte*>(bytes_.data()) + answer.bytes, answer.size};
  }
  // Where in them the pointers are that move with the question's size.
  std::span<const uint16_t> moving(const Answer& answer) const {
    return {moving_.data() + answer.moving, answer.moving_count};
  }
  std::span<const SetEnd> sets(const Answer& answer) const { return {sets_.data() + answer.sets, answer.set_count}; }
  const Dname& dname(const Answer& answer) const { return dnames_[*answer.dname]; }
  size_t names() const { return nodes_.size(); }

 private:
  friend class TableBuilder;
  struct TypeAnswer {
    uint16_t type;
    uint32_t answer;
  };
  struct Node {
    uint32_t first = 0;        // of its TypeAnswers
    uint32_t count = 0;
    uint32_t other = 0;        // the answer for any other type
    uint32_t below = 0;        // and for names below that are not there
    const Node* wildcard = nullptr;  // the node that stands for those
  };

  const Answer& FindType(const Node& node, uint16_t type) const;

  absl::flat_hash_map<absl::string_view, Node> nodes_;
  std::deque<std::string> names_;  // the keys
  size_t longest_ = 0;             // of them
  std::vector<TypeAnswer> types_;
  std::vector<Answer> answers_;
  std::vector<Dname> dnames_;
  std::string bytes_;
  std::vector<uint16_t> moving_;
  std::vector<SetEnd> sets_;
};

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_ANSWER_TABLE_H_
