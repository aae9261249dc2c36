// Zone files that are wrong, and where it is said that they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/examples/dns_server/dns_fixture.h"

namespace dns_server {
namespace {

using ::testing::HasSubstr;

std::string Problem(const std::string& text) {
  absl::StatusOr<Zone> zone = ZoneOf(text);
  return zone.ok() ? "none" : std::string(zone.status().message());
}

std::string AfterHead(const std::string& more) { return Problem(kHead + more); }

TEST(ZoneFile, SaysFileLineAndReason) {
  // The head has six lines.
  EXPECT_EQ("none", AfterHead("www A 192.0.2.1\n"));
  EXPECT_THAT(AfterHead("www A 192.0.2.1\nbad A 192.0.2.256\n"), HasSubstr("/zone:8: "));
  EXPECT_THAT(AfterHead("www NOSUCHTYPE x\n"), HasSubstr("/zone:7: "));
  EXPECT_THAT(AfterHead("\n; comment\nwww MX mail\n"), HasSubstr("/zone:9: "));
  EXPECT_THAT(AfterHead("www.example.org. A 192.0.2.1\n"), HasSubstr("/zone:7: www.example.org. is not in the zone"));
  EXPECT_THAT(AfterHead("@ SOA ns1 h 2 3 4 5 6\n"), HasSubstr("/zone:7: a second SOA"));
  EXPECT_THAT(AfterHead("www CH A 192.0.2.1\n"), HasSubstr("/zone:7: only class IN"));
  EXPECT_THAT(AfterHead("$INCLUDE other\n"), HasSubstr("/zone:7: $INCLUDE is not supported"));
  EXPECT_THAT(AfterHead("a CNAME b\na A 192.0.2.1\n"), HasSubstr("/zone:8: a.example.com. has a CNAME and other data"));
  EXPECT_THAT(AfterHead("a CNAME b\na CNAME c\n"), HasSubstr("/zone:8: a.example.com. has several"));
  EXPECT_THAT(AfterHead("a DNAME b\nx.a A 192.0.2.1\n"), HasSubstr("/zone:8: x.a.example.com. is below a DNAME"));
  EXPECT_THAT(Problem("$ORIGIN example.com.\nwww 60 A 192.0.2.1\n"), HasSubstr("/zone: no SOA"));
  EXPECT_THAT(Problem("example.com. 60 SOA a. b. 1 2 3 4 5\n"), HasSubstr("/zone: no NS"));
  EXPECT_THAT(Problem(""), HasSubstr("/zone: no SOA"));
  EXPECT_THAT(ReadZoneFile("/nonexistent", "").status().message(), HasSubstr("/nonexistent"));
  EXPECT_THAT(ReadZoneFile("/dev/null", "a..b").status().message(), HasSubstr("--origin=a..b"));
}

TEST(ZoneFile, OriginNamesTheZone) {
  absl::StatusOr<Zone> zone = ZoneOf("@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\n", "zone", "Example.NET");
  ASSERT_TRUE(zone.ok()) << zone.status();
  EXPECT_EQ(absl::string_view("\7example\3net\0", 13), zone->apex());
}

TEST(Zone, OnePerName) {
  std::vector<Zone> zones;
  for (const char* name : {"first", "second"}) zones.push_back(*ZoneOf(kHead, name));
  EXPECT_THAT(AnswerTable::Make(zones).status().message(), HasSubstr("/second: the zone example.com. is in"));
}

TEST(Zone, AnswersFitAMessage) {
  std::string text = kHead;
  for (int i = 0; i < 300; ++i) absl::StrAppend(&text, "big TXT ", i, " \"", std::string(250, 'x'), "\"\n");
  std::vector<Zone> zones;
  zones.push_back(*ZoneOf(text));
  EXPECT_THAT(AnswerTable::Make(zones).status().message(), HasSubstr("/zone:7: an answer with these records"));
}

}  // namespace
}  // namespace dns_server
