// Random and mutated queries: each is dropped, or gets a response that ldns can read and that keeps to its bounds.
// Queries lie in memory of exactly their length, so that the address sanitizer sees a read beyond it.
#include <gtest/gtest.h>

#include "tests/examples/dns_server/dns_fixture.h"
#include "tests/support/mutate.h"

namespace dns_server {
namespace {

using weir::testing::Random;

constexpr char kZone[] = R"(
www A 192.0.2.10
*.wild MX 10 www
alias CNAME www
sub NS ns.sub
ns.sub A 192.0.2.50
moved DNAME a.long.name.below.example.net.
@ MX 10 www
)";

class QueryFuzzTest : public ::testing::Test {
 protected:
  void Check(const Bytes& query) {
    for (const Transport transport : {Transport::kUdp, Transport::kTcp}) {
      const Bytes response = Respond(table_, query, transport);
      if (response.empty()) {
        ++dropped_;
        continue;
      }
      ASSERT_GE(response.size(), kHeaderSize);
      if (transport == Transport::kUdp) ASSERT_LE(response.size(), kMaxUdpSize);
      ASSERT_TRUE(std::equal(query.begin(), query.begin() + 2, response.begin()));
      ASSERT_EQ(kQr, std::to_integer<uint8_t>(response[kFlagsOffset]) & kQr);
      ++answered_[std::to_integer<size_t>(response[kRcodeOffset]) & 0xf];
      ldns_pkt* packet = nullptr;
      const ldns_status status =
          ldns_wire2pkt(&packet, reinterpret_cast<const uint8_t*>(response.data()), response.size());
      ASSERT_EQ(LDNS_STATUS_OK, status) << ldns_get_errorstr_by_id(status);
      ldns_pkt_free(packet);
      // The same where the query lies, with room that is just enough.
      Bytes buffer = query;
      buffer.resize(std::max(query.size(), response.size()));
      const size_t size = WriteResponse(table_, transport, std::span(buffer).first(query.size()), buffer);
      buffer.resize(size);
      ASSERT_EQ(response, buffer);
    }
  }

  AnswerTable table_ = TableOf({absl::StrCat(kHead, kZone)});
  size_t dropped_ = 0;
  size_t answered_[16] = {};
};

TEST_F(QueryFuzzTest, Mutations) {
  Random random;
  const Bytes queries[] = {MakeQuery("www.example.com", "A"),         MakeQuery("a.b.wild.example.com", "MX", 4096),
                           MakeQuery("x.sub.example.com", "A", 512),  MakeQuery("a.b.c.moved.example.com", "A", 1232),
                           MakeQuery("alias.example.com", "A", 1232), MakeQuery("nothing.example.com", "A", 1232),
                           MakeQuery(".", "NS", 1232)};
  for (const Bytes& query : queries) {
    weir::testing_support::ForEachTruncation(query, [&](const Bytes& cut) { Check(cut); });
    weir::testing_support::ForEachMutation(query, 20'000, random, [&](const Bytes& mutant) { Check(mutant); });
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(0u, dropped_);
  for (const size_t rcode : {0, 1, 3, 4, 5}) EXPECT_LT(0u, answered_[rcode]) << rcode;
}

TEST_F(QueryFuzzTest, Noise) {
  Random random;
  for (int i = 0; i < 100'000 && !HasFatalFailure(); ++i) {
    Bytes noise(random.Below(600));
    for (std::byte& byte : noise) byte = std::byte(random.OneIn(2) ? random.Below(256) : random.Below(4));
    Check(noise);
  }
}

}  // namespace
}  // namespace dns_server
