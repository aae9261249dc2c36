// A query, taken apart (RFC 1035 §4.1, RFC 6891, RFC 9619). Nothing in it is copied but the name, in lower case.
#ifndef EXAMPLES_DNS_SERVER_QUERY_H_
#define EXAMPLES_DNS_SERVER_QUERY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"
#include "examples/dns_server/wire.h"

namespace dns_server {

struct Query {
  // What to answer if not from the zones.
  Rcode rcode = Rcode::kNoError;
  // Where the question ends, kHeaderSize without one that could be read.
  size_t question_end = kHeaderSize;
  uint16_t type = 0;
  uint16_t name_size = 0;
  uint16_t udp_size = kMinUdpSize;  // what the client takes, at least that
  bool edns = false;
  bool dnssec_ok = false;
  std::array<char, kMaxName + 1> lower_name;

  bool has_question() const { return question_end != kHeaderSize; }
  absl::string_view name() const { return {lower_name.data(), name_size}; }
};

// False: a message that gets no answer at all, as it is too short for a header or is itself a response.
bool ParseQuery(std::span<const std::byte> message, Query* query);

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_QUERY_H_
