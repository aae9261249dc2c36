// What a zone answers to a question (RFC 1034 §4.3.2), written by an AnswerWriter when the zone is loaded.
#ifndef EXAMPLES_DNS_SERVER_ANSWER_COMPOSER_H_
#define EXAMPLES_DNS_SERVER_ANSWER_COMPOSER_H_

#include <cstdint>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "examples/dns_server/answer_writer.h"
#include "examples/dns_server/wire.h"
#include "examples/dns_server/zone.h"

namespace dns_server {

class AnswerComposer {
 public:
  // Longer chains of CNAMEs are cut off there; the client asks on.
  static constexpr int kMaxChain = 16;

  // `writer` is at its beginning.
  AnswerComposer(const Zone& zone, AnswerWriter& writer) : zone_(zone), writer_(writer) {}

  // `name` and `type`, CNAMEs followed. kInvalidArgument: an RRset fits no message.
  absl::Status Resolve(absl::string_view name, uint16_t type);
  // What all names at or below the zone cut `node` get.
  absl::Status Refer(const ZoneNode& node);
  // Without an answer: the SOA (RFC 2308 §2).
  absl::Status AddSoa();
  // A node's DNAME alone.
  absl::Status AddDname(const ZoneNode& node);

  Rcode rcode() const { return rcode_; }

  // All types for which Resolve says something else of `node` than of a type that is not there.
  static std::set<uint16_t> TypesOf(const Zone& zone, const ZoneNode& node);

 private:
  absl::Status Add(AnswerWriter::Section section, absl::string_view owner, const RrSet& set);
  void AddAddresses(const RrSet& set, absl::string_view cut);

  const Zone& zone_;
  AnswerWriter& writer_;
  Rcode rcode_ = Rcode::kNoError;
  std::set<absl::string_view> with_addresses_;
};

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_ANSWER_COMPOSER_H_
