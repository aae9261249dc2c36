// IGMP and MLD messages: which version a query is, its codes and sources; reports, and what fits into one.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "netstack/wire/igmp.h"
#include "netstack/wire/mld.h"
#include "tests/support/mutate.h"

namespace weir::testing_support {
namespace {

using netstack::DecodeMulticastCode;
using netstack::IgmpMessage;
using netstack::IgmpQuery;
using netstack::IgmpV3ReportWriter;
using netstack::MldQuery;
using netstack::MldV1Message;
using netstack::MldV2ReportWriter;
using Type = netstack::MulticastRecordType;

// What a query says, in one line.
template <typename Query>
std::string Describe(const Query& q, const std::string& group) {
  std::string text = "v" + std::to_string(q.version) + " " + group + " " + std::to_string(q.max_response_ms) + "ms";
  if (q.suppress) text += " S";
  if (q.robustness != 0) text += " qrv " + std::to_string(q.robustness);
  if (q.query_interval_s != 0) text += " qqi " + std::to_string(q.query_interval_s);
  for (size_t i = 0; i < q.sources.size(); ++i) text += " " + q.sources[i].ToString();
  return text;
}
std::string DescribeIgmp(const Bytes& bytes) {
  IgmpQuery query;
  return query.Parse(bytes) ? Describe(query, IpAddress::V4(query.group).ToString()) : "none";
}
std::string DescribeMld(const Bytes& bytes) {
  MldQuery query;
  return query.Parse(bytes) ? Describe(query, query.group.ToString()) : "none";
}

struct QueryCase {
  const char* name;
  const char* hex;
  const char* expected;
};

const QueryCase kIgmpCases[] = {
    {"RFC 3376 §7.1: eight bytes and code 0 is version 1", "11 00 0000 00000000", "v1 0.0.0.0 10000ms"},
    {"RFC 3376 §7.1: eight bytes is version 2", "11 64 0000 00000000", "v2 0.0.0.0 10000ms"},
    {"RFC 2236 §2.2: the time of version 2 is in tenths, to the end", "11 ff 0000 e1000005", "v2 225.0.0.5 25500ms"},
    {"RFC 3376 §7.1: nine to eleven bytes are ignored", "11 64 0000 00000000 02", "none"},
    {"RFC 3376 §7.1: eleven", "11 64 0000 00000000 027d00", "none"},
    {"RFC 3376 §4.1: general query", "11 64 0000 00000000 027d0000", "v3 0.0.0.0 10000ms qrv 2 qqi 125"},
    {"RFC 3376 §4.1: group-specific, S", "11 0a 0000 e1000005 0a7d0000", "v3 225.0.0.5 1000ms S qrv 2 qqi 125"},
    {"RFC 3376 §4.1.9: with sources", "11 00 0000 e1000005 02000002 0a000001 0a000002",
     "v3 225.0.0.5 0ms qrv 2 10.0.0.1 10.0.0.2"},
    {"RFC 3376 §4.1.1: floating point", "11 80 0000 00000000 02ff0000", "v3 0.0.0.0 12800ms qrv 2 qqi 31744"},
    {"RFC 3376 §4.1.10: more behind the sources is no harm", "11 0a 0000 e1000005 02000001 0a000001 ffff",
     "v3 225.0.0.5 1000ms qrv 2 10.0.0.1"},
    {"fewer sources than it says", "11 0a 0000 e1000005 02000002 0a000001 0a0000", "none"},
    {"65535 sources", "11 0a 0000 e1000005 0200ffff 0a000001", "none"},
    {"no query", "16 64 0000 00000000", "none"},
};

const QueryCase kMldCases[] = {
    {"RFC 3810 §8.1: 24 bytes is version 1", "82 00 0000 2710 0000 00000000000000000000000000000000", "v1 :: 10000ms"},
    {"RFC 2710 §3.4: the delay of version 1 is in ms, to the end",
     "82 00 0000 ffff 0000 ff020000000000000000000000001234", "v1 ff02::1234 65535ms"},
    {"RFC 3810 §8.1: 25 to 27 bytes are ignored", "82 00 0000 2710 0000 00000000000000000000000000000000 02", "none"},
    {"RFC 3810 §8.1: 27", "82 00 0000 2710 0000 00000000000000000000000000000000 027d00", "none"},
    {"RFC 3810 §5.1: general query", "82 00 0000 2710 0000 00000000000000000000000000000000 027d0000",
     "v2 :: 10000ms qrv 2 qqi 125"},
    {"RFC 3810 §5.1.10: with a source",
     "82 00 0000 0000 0000 ff020000000000000000000000001234 0a000001 20010db8000000000000000000000001",
     "v2 ff02::1234 0ms S qrv 2 2001:db8::1"},
    {"RFC 3810 §5.1.3: floating point", "82 00 0000 8000 0000 00000000000000000000000000000000 02ff0000",
     "v2 :: 32768ms qrv 2 qqi 31744"},
    {"fewer sources than it says",
     "82 00 0000 0000 0000 ff020000000000000000000000001234 0a000002 20010db8000000000000000000000001", "none"},
    {"no query", "83 00 0000 2710 0000 00000000000000000000000000000000", "none"},
};

TEST(Igmp, Queries) {
  for (const QueryCase& c : kIgmpCases) EXPECT_EQ(c.expected, DescribeIgmp(Hex(c.hex))) << c.name;
}

TEST(Mld, Queries) {
  for (const QueryCase& c : kMldCases) EXPECT_EQ(c.expected, DescribeMld(Hex(c.hex))) << c.name;
}

TEST(Igmp, FloatingPoint) {  // RFC 3376 §4.1.1: (mant | 0x10) << (exp + 3)
  EXPECT_EQ(127u, DecodeMulticastCode(127, 4));
  EXPECT_EQ(128u, DecodeMulticastCode(0x80, 4));
  EXPECT_EQ(136u, DecodeMulticastCode(0x81, 4));
  EXPECT_EQ(256u, DecodeMulticastCode(0x90, 4));
  EXPECT_EQ(31744u, DecodeMulticastCode(0xff, 4));
  for (uint32_t code = 1; code < 256; ++code) {
    EXPECT_GT(DecodeMulticastCode(code, 4), DecodeMulticastCode(code - 1, 4)) << code;
  }
}

TEST(Mld, FloatingPoint) {  // RFC 3810 §5.1.3: (mant | 0x1000) << (exp + 3)
  EXPECT_EQ(32767u, DecodeMulticastCode(32767, 12));
  EXPECT_EQ(32776u, DecodeMulticastCode(0x8001, 12));
  EXPECT_EQ(65536u, DecodeMulticastCode(0x9000, 12));
  EXPECT_EQ(8387584u, DecodeMulticastCode(0xffff, 12));
}

TEST(Igmp, Version2Messages) {  // RFC 2236 §2
  for (uint8_t type : {netstack::kIgmpV1Report, netstack::kIgmpV2Report, netstack::kIgmpV2Leave}) {
    Bytes bytes(IgmpMessage::kSize);
    IgmpMessage{.type = type, .group = 0xe1000005}.Emit(bytes.data());
    EXPECT_EQ(0xffff, NaiveSum(bytes));
    EXPECT_EQ(0xe1000005, Get32(bytes, 4));
    IgmpMessage message;
    ASSERT_TRUE(message.Parse(bytes));
    EXPECT_EQ(type, message.type);
    EXPECT_EQ(0xe1000005, message.group);
    ForEachTruncation(bytes, [](const Bytes& cut) { EXPECT_FALSE(IgmpMessage().Parse(cut)); });
  }
  EXPECT_FALSE(IgmpMessage().Parse(Hex("11 64 0000 00000000")));
}

TEST(Mld, Version1Messages) {  // RFC 2710 §3
  const Bytes bytes = Hex("84 00 0000 00000000 ff020000000000000000000000001234");
  MldV1Message message;
  ASSERT_TRUE(message.Parse(bytes));
  EXPECT_EQ(netstack::kIcmp6MldV1Done, message.type);
  EXPECT_EQ("ff02::1234", message.group.ToString());
  Bytes emitted(MldV1Message::kSize);
  message.Emit(emitted.data());
  EXPECT_EQ(bytes, emitted);
  ForEachTruncation(bytes, [](const Bytes& cut) { EXPECT_FALSE(MldV1Message().Parse(cut)); });
}

TEST(Igmp, Version3Report) {  // RFC 3376 §4.2
  Bytes out(100, std::byte{0xee});
  IgmpV3ReportWriter report(out);
  EXPECT_TRUE(report.empty());
  const IpAddress group = IpAddress::V4(0xe1000005);
  const IpAddress sources[] = {IpAddress::V4(0x0a000001), IpAddress::V4(0x0a000002)};
  EXPECT_EQ(0u, report.Add(Type::kModeIsExclude, group, {}));
  EXPECT_EQ(2u, report.Add(Type::kAllowNewSources, group, sources));
  EXPECT_FALSE(report.empty());
  out.resize(report.Finish());
  EXPECT_EQ(0xffff, NaiveSum(out));
  Put16(out, 2, 0);
  EXPECT_EQ(Hex("22 00 0000 0000 0002  02 00 0000 e1000005  05 00 0002 e1000005 0a000001 0a000002"), out);
}

TEST(Mld, Version2Report) {  // RFC 3810 §5.2
  Bytes out(100, std::byte{0xee});
  MldV2ReportWriter report(out);
  const IpAddress source[] = {IpAddress::Parse("2001:db8::1").value()};
  EXPECT_EQ(1u, report.Add(Type::kBlockOldSources, IpAddress::Parse("ff02::1234").value(), source));
  out.resize(report.Finish());
  EXPECT_EQ(Hex("8f 00 0000 0000 0001  06 00 0001 ff020000000000000000000000001234 20010db8000000000000000000000001"),
            out);
}

// RFC 3376 §4.2.16: what does not fit into one report is told, so that it goes into the next.
TEST(Igmp, ReportThatIsFull) {
  const IpAddress group = IpAddress::V4(0xe1000005);
  const std::vector<IpAddress> sources(5, IpAddress::V4(0x0a000001));
  for (size_t room = 8; room < 60; ++room) {
    Bytes out(room);
    IgmpV3ReportWriter report(out);
    const auto fit = report.Add(Type::kModeIsInclude, group, sources);
    const size_t space = room < 20 ? 0 : std::min<size_t>(5, (room - 16) / 4);
    EXPECT_EQ(space != 0, fit.has_value()) << room;
    EXPECT_EQ(space, fit.value_or(0)) << room;
    const size_t size = space == 0 ? 8 : 16 + 4 * space;
    EXPECT_EQ(room - size >= 8, report.Add(Type::kModeIsExclude, group, {}).has_value()) << room;
    EXPECT_EQ(size + (room - size >= 8 ? 8 : 0), report.Finish()) << room;
  }
}

TEST(Multicast, MutatedQueries) {
  testing::Random random;
  for (const QueryCase& c : kIgmpCases) {
    ForEachMutation(Hex(c.hex), 5000, random, [](const Bytes& bytes) { DescribeIgmp(bytes); });
  }
  for (const QueryCase& c : kMldCases) {
    ForEachMutation(Hex(c.hex), 5000, random, [](const Bytes& bytes) { DescribeMld(bytes); });
  }
}

// Only lengths that are a version's are one.
TEST(Multicast, TruncatedQueries) {
  ForEachTruncation(Hex("11 64 0000 e1000005 027d0001 0a000001"), [](const Bytes& bytes) {
    EXPECT_EQ(bytes.size() == 8 ? "v2 225.0.0.5 10000ms" : "none", DescribeIgmp(bytes)) << bytes.size();
  });
  const Bytes query = Hex("82 00 0000 0001 0000 ff020000000000000000000000001234"
                          "02000001 20010db8000000000000000000000001");
  ForEachTruncation(query, [](const Bytes& bytes) {
    EXPECT_EQ(bytes.size() == 24 ? "v1 ff02::1234 1ms" : "none", DescribeMld(bytes)) << bytes.size();
  });
}

}  // namespace
}  // namespace weir::testing_support
