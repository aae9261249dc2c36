// What is answered, as ldns reads it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/examples/dns_server/dns_fixture.h"

namespace dns_server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kSoa[] =
    "example.com. 300 SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 300";

std::string Everything() {
  return absl::StrCat(kHead, R"(
www A 192.0.2.10
www A 192.0.2.11
www 60 AAAA 2001:db8::10
@ MX 10 mail
@ MX 20 mail.example.net.
mail A 192.0.2.20
mail AAAA 2001:db8::20
_sip._tcp SRV 1 2 5060 mail
alias CNAME www
alias2 CNAME alias
outside CNAME www.example.org.
dangling CNAME nothing
loop1 CNAME loop2
loop2 CNAME loop1
tosub CNAME x.sub
towild CNAME a.wild
*.wild TXT "wild"
*.wild MX 5 *.wild
*.calias CNAME www
there.wild A 192.0.2.30
a.b.deep A 192.0.2.40
sub NS ns.sub
sub NS ns.example.net.
sub DS 1 8 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns.sub A 192.0.2.50
plain NS ns1
moved DNAME example.net.
odd TYPE65400 \# 3 010203
)");
}

class ResponseTest : public ::testing::Test {
 protected:
  Response Get(const std::string& name, const std::string& type) { return Ask(table_, name, type); }
  AnswerTable table_ = TableOf({Everything()});
};

TEST_F(ResponseTest, Data) {
  const Response www = Get("WwW.example.com", "A");
  EXPECT_EQ("NOERROR", www.rcode);
  EXPECT_EQ("aa", www.flags);
  EXPECT_THAT(www.answer, ElementsAre("WwW.example.com. 3600 A 192.0.2.10", "WwW.example.com. 3600 A 192.0.2.11"));
  EXPECT_THAT(www.authority, IsEmpty());
  EXPECT_THAT(www.additional, IsEmpty());
  EXPECT_THAT(Get("www.example.com", "AAAA").answer, ElementsAre("www.example.com. 60 AAAA 2001:db8::10"));
  EXPECT_THAT(Get("odd.example.com", "TYPE65400").answer, ElementsAre("odd.example.com. 3600 TYPE65400 \\# 3 010203"));
  EXPECT_THAT(Get("example.com", "SOA").answer,
              ElementsAre("example.com. 3600 SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 300"));
}

TEST_F(ResponseTest, AdditionalAddresses) {
  const Response mx = Get("example.com", "MX");
  EXPECT_THAT(mx.answer,
              ElementsAre("example.com. 3600 MX 10 mail.example.com.", "example.com. 3600 MX 20 mail.example.net."));
  EXPECT_THAT(mx.additional,
              ElementsAre("mail.example.com. 3600 A 192.0.2.20", "mail.example.com. 3600 AAAA 2001:db8::20"));
  EXPECT_THAT(Get("example.com", "NS").additional, ElementsAre("ns1.example.com. 3600 A 192.0.2.1"));
  EXPECT_THAT(Get("_sip._tcp.example.com", "SRV").additional, SizeIs(2));
}

TEST_F(ResponseTest, NothingThere) {
  const Response no_data = Get("www.example.com", "TXT");
  EXPECT_EQ("NOERROR", no_data.rcode);
  EXPECT_EQ("aa", no_data.flags);
  EXPECT_THAT(no_data.answer, IsEmpty());
  EXPECT_THAT(no_data.authority, ElementsAre(kSoa));
  for (const char* name :
       {"nope.example.com", "a.very.much.longer.name.that.is.not.there.example.com", "x.www.example.com"}) {
    const Response no_name = Get(name, "A");
    EXPECT_EQ("NXDOMAIN", no_name.rcode) << name;
    EXPECT_EQ("aa", no_name.flags);
    EXPECT_THAT(no_name.authority, ElementsAre(kSoa));
  }
  // RFC 4592 §2.2.2: b.deep has no data, but names below it do.
  EXPECT_EQ("NOERROR", Get("b.deep.example.com", "A").rcode);
  EXPECT_THAT(Get("b.deep.example.com", "A").authority, ElementsAre(kSoa));
  for (const char* name : {"example.org", "com", ".", "xexample.com"}) {
    EXPECT_EQ("REFUSED", Get(name, "A").rcode) << name;
    EXPECT_EQ("", Get(name, "A").flags) << name;
  }
}

TEST_F(ResponseTest, Aliases) {
  EXPECT_THAT(Get("alias2.example.com", "AAAA").answer,
              ElementsAre("alias2.example.com. 3600 CNAME alias.example.com.",
                          "alias.example.com. 3600 CNAME www.example.com.", "www.example.com. 60 AAAA 2001:db8::10"));
  EXPECT_THAT(Get("alias.example.com", "CNAME").answer, ElementsAre("alias.example.com. 3600 CNAME www.example.com."));
  EXPECT_THAT(Get("alias.example.com", "TXT").answer, SizeIs(1));
  EXPECT_THAT(Get("alias.example.com", "TXT").authority, ElementsAre(kSoa));
  EXPECT_THAT(Get("outside.example.com", "A").answer, ElementsAre("outside.example.com. 3600 CNAME www.example.org."));
  EXPECT_EQ("NXDOMAIN", Get("dangling.example.com", "A").rcode);
  EXPECT_THAT(Get("dangling.example.com", "A").answer, SizeIs(1));
  EXPECT_THAT(Get("loop1.example.com", "A").answer, SizeIs(2));
  const Response below = Get("tosub.example.com", "A");
  EXPECT_THAT(below.answer, ElementsAre("tosub.example.com. 3600 CNAME x.sub.example.com."));
  EXPECT_THAT(below.authority, SizeIs(2));
  EXPECT_THAT(Get("towild.example.com", "TXT").answer,
              ElementsAre("towild.example.com. 3600 CNAME a.wild.example.com.",
                          "a.wild.example.com. 3600 TXT \"wild\""));
}

TEST_F(ResponseTest, Wildcards) {
  for (const char* name : {"a.wild.example.com", "a.longer.one.wild.example.com", "*.wild.example.com"}) {
    EXPECT_THAT(Get(name, "TXT").answer, ElementsAre(absl::StrCat(name, ". 3600 TXT \"wild\""))) << name;
    // The name in the data is the literal one, whatever the question.
    EXPECT_THAT(Get(name, "MX").answer, ElementsAre(absl::StrCat(name, ". 3600 MX 5 *.wild.example.com."))) << name;
    EXPECT_THAT(Get(name, "A").authority, ElementsAre(kSoa));
    EXPECT_EQ("NOERROR", Get(name, "A").rcode);
  }
  // A name that is there keeps the wildcard from itself and all below it (RFC 4592 §2.2.1).
  EXPECT_THAT(Get("there.wild.example.com", "TXT").answer, IsEmpty());
  EXPECT_EQ("NXDOMAIN", Get("x.there.wild.example.com", "TXT").rcode);
  EXPECT_THAT(Get("some.calias.example.com", "AAAA").answer,
              ElementsAre("some.calias.example.com. 3600 CNAME www.example.com.",
                          "www.example.com. 60 AAAA 2001:db8::10"));
}

TEST_F(ResponseTest, Referrals) {
  for (const char* name : {"sub.example.com", "a.b.sub.example.com", "ns.sub.example.com"}) {
    const Response referral = Get(name, "A");
    EXPECT_EQ("NOERROR", referral.rcode);
    EXPECT_EQ("", referral.flags) << name;
    EXPECT_THAT(referral.answer, IsEmpty());
    EXPECT_THAT(referral.authority, ElementsAre("sub.example.com. 3600 NS ns.sub.example.com.",
                                                "sub.example.com. 3600 NS ns.example.net."));
    EXPECT_THAT(referral.additional, ElementsAre("ns.sub.example.com. 3600 A 192.0.2.50"));
  }
  EXPECT_THAT(Get("sub.example.com", "DS").answer, SizeIs(1));
  EXPECT_EQ("aa", Get("sub.example.com", "DS").flags);
  EXPECT_THAT(Get("plain.example.com", "DS").authority, ElementsAre(kSoa));
  EXPECT_THAT(Get("x.sub.example.com", "DS").authority, SizeIs(2));
}

TEST_F(ResponseTest, Dnames) {
  const Response moved = Get("a.B.moved.example.com", "A");
  EXPECT_THAT(moved.answer, ElementsAre("moved.example.com. 3600 DNAME example.net.",
                                        "a.B.moved.example.com. 3600 CNAME a.B.example.net."));
  EXPECT_THAT(Get("moved.example.com", "DNAME").answer, SizeIs(1));
  EXPECT_THAT(Get("moved.example.com", "A").authority, ElementsAre(kSoa));
}

TEST(Response, DnameThatMakesANameTooLong) {
  const std::string label(60, 'x');
  const AnswerTable table =
      TableOf({absl::StrCat(kHead, "d DNAME ", label, ".", label, ".", label, ".", label, ".\n")});
  EXPECT_THAT(Ask(table, "short.d.example.com", "A", 1232).answer, SizeIs(2));
  const Response too_long = Ask(table, absl::StrCat(std::string(20, 'y'), ".d.example.com"), "A", 1232);
  EXPECT_EQ("YXDOMAIN", too_long.rcode);
  EXPECT_THAT(too_long.answer, SizeIs(1));
}

TEST_F(ResponseTest, AnyIsOneOfThem) {
  EXPECT_THAT(Get("www.example.com", "ANY").answer, ElementsAre("www.example.com. 60 AAAA 2001:db8::10"));
  EXPECT_THAT(Get("alias.example.com", "ANY").answer, SizeIs(1));
  EXPECT_THAT(Get("b.deep.example.com", "ANY").authority, ElementsAre(kSoa));
}

TEST_F(ResponseTest, TransfersAreRefused) {
  EXPECT_EQ("REFUSED", Get("example.com", "AXFR").rcode);
  EXPECT_EQ("REFUSED", Get("example.com", "IXFR").rcode);
}

TEST(Response, ZonesInZones) {
  const std::string child =
      "$ORIGIN sub.example.com.\n@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.77\nwww 60 A 192.0.2.78\n";
  const AnswerTable table = TableOf({Everything(), child});
  EXPECT_THAT(Ask(table, "www.sub.example.com", "A").answer, ElementsAre("www.sub.example.com. 60 A 192.0.2.78"));
  EXPECT_THAT(Ask(table, "ns.sub.example.com", "A").answer, ElementsAre("ns.sub.example.com. 60 A 192.0.2.77"));
  EXPECT_EQ("NXDOMAIN", Ask(table, "x.sub.example.com", "A").rcode);
  EXPECT_THAT(Ask(table, "sub.example.com", "DS").answer, SizeIs(1));  // the parent's
  EXPECT_THAT(Ask(table, "www.example.com", "A").answer, SizeIs(2));
}

TEST(Response, TruncatedByWholeSets) {
  std::string text = kHead;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&text, "many A 192.0.2.", i, "\n");
  for (int i = 0; i < 50; ++i) absl::StrAppend(&text, "many2 MX ", i, " m", i, "\nm", i, " A 192.0.2.1\n");
  absl::StrAppend(&text, "d NS ns.d\n");
  for (int i = 0; i < 90; ++i) absl::StrAppend(&text, "ns.d A 192.0.2.", i, "\n");
  const AnswerTable table = TableOf({text});
  const Response small = Ask(table, "many.example.com", "A");
  EXPECT_EQ("aatc", small.flags);
  EXPECT_THAT(small.answer, IsEmpty());
  EXPECT_THAT(Ask(table, "many.example.com", "A", 1232).answer, SizeIs(60));
  EXPECT_THAT(Ask(table, "many.example.com", "A", 900).flags, "aatc");
  EXPECT_THAT(Ask(table, "many.example.com", "A", 0, Transport::kTcp).answer, SizeIs(60));
  // Addresses that are only a help may be missing without a word.
  const Response mx = Ask(table, "many2.example.com", "MX", 1400);
  EXPECT_EQ("aa", mx.flags);
  EXPECT_THAT(mx.answer, SizeIs(50));
  EXPECT_LT(mx.additional.size(), 50u);
  EXPECT_THAT(Ask(table, "many2.example.com", "MX", 1400, Transport::kTcp).additional, SizeIs(50));
  // Without its glue a referral leads nowhere.
  const Response referral = Ask(table, "x.d.example.com", "A", 1232);
  EXPECT_EQ("tc", referral.flags);
  EXPECT_THAT(referral.authority, SizeIs(1));
  EXPECT_THAT(referral.additional, IsEmpty());
}

TEST_F(ResponseTest, Edns) {
  const Bytes with = Respond(table_, MakeQuery("www.example.com", "A", 4096));
  const Packet packet = Parse(with);
  EXPECT_TRUE(ldns_pkt_edns(packet.get()));
  EXPECT_EQ(kMaxUdpSize, ldns_pkt_edns_udp_size(packet.get()));
  EXPECT_EQ(0, ldns_pkt_edns_version(packet.get()));
  EXPECT_FALSE(ldns_pkt_edns_do(packet.get()));
  EXPECT_FALSE(ldns_pkt_edns(Parse(Respond(table_, MakeQuery("www.example.com", "A"))).get()));

  Bytes query = MakeQuery("www.example.com", "A", 4096);
  const size_t opt = query.size() - kOptSize;
  query[opt + 7] = std::byte{0x80};  // DO
  EXPECT_TRUE(ldns_pkt_edns_do(Parse(Respond(table_, query)).get()));
  query[opt + 6] = std::byte{1};  // a later version
  const Packet later = Parse(Respond(table_, query));
  EXPECT_EQ(1, ldns_pkt_edns_extended_rcode(later.get()));
  EXPECT_EQ(0u, ldns_pkt_ancount(later.get()));
  query[opt + 6] = std::byte{0};
  // An option that nobody knows.
  query[opt + 10] = std::byte{6};
  for (const int byte : {0xfd, 0xe9, 0, 2, 1, 2}) query.push_back(std::byte(byte));
  EXPECT_EQ(2u, ldns_pkt_ancount(Parse(Respond(table_, query)).get()));
}

// The query, changed, is answered with an RCODE and no records.
void ExpectRcode(const AnswerTable& table, const Bytes& query, int rcode) {
  const Bytes wire = Respond(table, query);
  ASSERT_GE(wire.size(), kHeaderSize);
  EXPECT_EQ(rcode, std::to_integer<int>(wire[kRcodeOffset]));
  const Packet packet = Parse(wire);
  EXPECT_EQ(0, ldns_pkt_ancount(packet.get()) + ldns_pkt_nscount(packet.get()));
}

TEST_F(ResponseTest, Malformed) {
  const Bytes good = MakeQuery("www.example.com", "A"), edns = MakeQuery("www.example.com", "A", 1232);
  for (size_t size = 0; size < good.size(); ++size) {
    const Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    if (size < kHeaderSize) {
      EXPECT_TRUE(Respond(table_, cut).empty()) << size;
    } else {
      ExpectRcode(table_, cut, 1);
    }
  }
  Bytes changed = good;
  changed[2] |= std::byte{0x80};  // a response
  EXPECT_TRUE(Respond(table_, changed).empty());
  changed = good;
  changed[2] |= std::byte{0x20};  // NOTIFY
  ExpectRcode(table_, changed, 4);
  changed = good;
  changed.push_back(std::byte{0});
  ExpectRcode(table_, changed, 1);
  for (const int questions : {0, 2}) {
    changed = good;
    changed[5] = std::byte(questions);
    ExpectRcode(table_, changed, 1);
  }
  changed = good;
  changed[good.size() - 1] = std::byte{3};  // CH
  ExpectRcode(table_, changed, 5);
  changed = good;
  changed[12] = std::byte{0xc0};  // a pointer, where nothing is before
  ExpectRcode(table_, changed, 1);
  changed = edns;
  changed[11] = std::byte{2};
  changed.insert(changed.end(), edns.end() - kOptSize, edns.end());  // a second OPT
  ExpectRcode(table_, changed, 1);
  changed = edns;
  changed[11] = std::byte{0};
  changed[9] = std::byte{1};  // OPT among the authorities
  ExpectRcode(table_, changed, 1);
}

TEST_F(ResponseTest, InThePlaceOfTheQueryOrElsewhere) {
  for (const char* name : {"www.example.com", "x.y.wild.example.com", "a.moved.example.com", "a.sub.example.com"}) {
    const Bytes query = MakeQuery(name, "MX", 1232);
    Bytes buffer = query;
    buffer.resize(kMaxUdpSize);
    buffer.resize(WriteResponse(table_, Transport::kUdp, std::span(buffer).first(query.size()), buffer));
    EXPECT_EQ(Respond(table_, query), buffer) << name;
    Bytes small(buffer.size() - 1, std::byte{7});
    const Bytes before = small;
    EXPECT_EQ(buffer.size(), WriteResponse(table_, Transport::kUdp, query, small));
    EXPECT_EQ(before, small);
  }
}

// Everything that ldns reads in the zone is answered as it stands there.
TEST_F(ResponseTest, TheWholeZone) {
  size_t checked = 0;
  const Zone zone = *ZoneOf(Everything());
  for (const auto& [name, node] : zone.nodes()) {
    for (const auto& [type, set] : node.sets) {
      if (zone.Locate(name).kind != Zone::Place::kNode) continue;
      const std::unique_ptr<char, decltype(&std::free)> type_text(
          ldns_rr_type2str(static_cast<ldns_rr_type>(type)), &std::free);
      const Response got = Ask(table_, NameText(name), type_text.get(), 0, Transport::kTcp);
      EXPECT_EQ(set.records.size(), got.answer.size()) << NameText(name) << type_text.get();
      EXPECT_EQ("aa", got.flags);
      ++checked;
    }
  }
  EXPECT_LT(20u, checked);
}

}  // namespace
}  // namespace dns_server
