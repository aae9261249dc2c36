// DHCP messages: replies read with their options wherever they lie, requests written as RFC 2131 table 5 says.
#include "netstack/wire/dhcp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/mutate.h"

namespace weir::testing_support {
namespace {

using netstack::DhcpReply;
using netstack::DhcpRequest;
using netstack::DhcpType;

// A reply with `options` behind the cookie, and what `file` and `sname` begin with.
Bytes Reply(absl::string_view options, absl::string_view file = "", absl::string_view sname = "") {
  Bytes bytes = Hex("02 01 06 00 12345678 0000 0000 00000000 0a000064 0a000003 00000000 020000000001");
  bytes.resize(44);
  Append(bytes, Hex(sname));
  bytes.resize(108);
  Append(bytes, Hex(file));
  bytes.resize(236);
  Append(bytes, Hex("63825363"));
  Append(bytes, Hex(options));
  return bytes;
}

std::string Describe(const DhcpReply& r) {
  std::string text = absl::StrCat("type ", static_cast<int>(r.type));
  auto add = [&text](absl::string_view name, auto value) {
    if (value) absl::StrAppend(&text, " ", name, " ", *value);
  };
  auto add_ip = [&text](absl::string_view name, std::optional<uint32_t> ip) {
    if (ip) absl::StrAppend(&text, " ", name, " ", Ip(*ip));
  };
  add_ip("server", r.server_id);
  add("lease", r.lease_time_s);
  add("T1", r.renewal_time_s);
  add("T2", r.rebinding_time_s);
  add_ip("mask", r.subnet_mask);
  add_ip("router", r.router);
  add_ip("broadcast", r.broadcast);
  add("mtu", r.mtu);
  for (size_t i = 0; i < r.dns_server_count; ++i) add_ip("dns", r.dns_servers[i]);
  for (size_t i = 0; i < r.route_count; ++i) {
    absl::StrAppend(&text, " route ", Ip(r.routes[i].destination), "/", r.routes[i].length, " via ",
                    Ip(r.routes[i].router));
  }
  if (r.routes_left_out) text += " and more";
  if (!r.message.empty()) absl::StrAppend(&text, " '", r.message, "'");
  return text;
}

struct OptionCase {
  const char* name;
  Bytes bytes;
  const char* expected;
};

const OptionCase kCases[] = {
    {"no options: BOOTP", Reply(""), "type 0"},
    {"RFC 2132: all of them",
     Reply("350105 36040a000001 330400000e10 3a0400000708 3b0400000c4e 0104ffffff00 03080a0000010a000002 1c040a0000ff"
           "1a0205dc 06080a00000a0a00000b ff"),
     "type 5 server 10.0.0.1 lease 3600 T1 1800 T2 3150 mask 255.255.255.0 router 10.0.0.1 broadcast 10.0.0.255 "
     "mtu 1500 dns 10.0.0.10 dns 10.0.0.11"},
    {"RFC 2132 §9.9: a message", Reply("350106 38026e6f ff"), "type 6 'no'"},
    {"RFC 2132 §3.1, §3.2: padding, and nothing counts behind the end", Reply("00 00 350102 00 ff 330400000e10"),
     "type 2"},
    {"without an end", Reply("350102"), "type 2"},
    {"unknown options are skipped", Reply("f903010203 350102 5100 ff"), "type 2"},
    {"wrong lengths do not count", Reply("35020102 3303000e10 0105ffffff0000 0303000000 1a0105 0605 0a00000a0b ff"),
     "type 0"},
    {"a list of routers of length 0", Reply("350102 0300 0600 ff"), "type 2"},
    {"the first counts", Reply("350102 350105 330400000001 330400000002 ff"), "type 2 lease 1"},
    {"three name servers at most", Reply("350102 06100a0000010a0000020a0000030a000004 ff"),
     "type 2 dns 10.0.0.1 dns 10.0.0.2 dns 10.0.0.3"},
    {"RFC 2131 §4.1: overload, file", Reply("340101 ff", "350102 ff", "330400000e10"), "type 2"},
    {"RFC 2131 §4.1: overload, sname", Reply("340102 ff", "350102 ff", "330400000e10 ff"), "type 0 lease 3600"},
    {"RFC 2131 §4.1: overload, both, file first", Reply("340103 350105 ff", "330400000001 ff", "330400000002 ff"),
     "type 5 lease 1"},
    {"no overload: file is a file name", Reply("350102 ff", "3302"), "type 2"},
    {"RFC 3442: prefixes of all lengths of bytes",
     Reply("350102 792300 0a000001 080a 0a000002 0f0a0a 0a000003 170a0102 0a000004 200a010203 00000000 ff"),
     "type 2 route 0.0.0.0/0 via 10.0.0.1 route 10.0.0.0/8 via 10.0.0.2 route 10.10.0.0/15 via 10.0.0.3 "
     "route 10.1.2.0/23 via 10.0.0.4 route 10.1.2.3/32 via 0.0.0.0"},
    {"RFC 3396 §7: in pieces, cut anywhere", Reply("350102 7904 00 0a0000 7901 01 7906 080a 0a000002 ff"),
     "type 2 route 0.0.0.0/0 via 10.0.0.1 route 10.0.0.0/8 via 10.0.0.2"},
    {"RFC 3396 §5: options, then file, then sname",
     Reply("340103 7902 10ac ff", "7902 100a ff", "7903 000002 350105 ff"), "type 5 route 172.16.0.0/16 via 10.0.0.2"},
    {"a prefix longer than an address", Reply("350102 790a 00 0a000001 21 0a000002 ff"), "type 2"},
    {"half a route behind a whole one", Reply("350102 7908 00 0a000001 08 0a 0a ff"), "type 2"},
    {"no routes", Reply("350102 7900 ff"), "type 2"},
    {"overload within file means nothing", Reply("340101 ff", "340103 ff", "350102 ff"), "type 0"},
};

TEST(DhcpReply, Options) {
  for (const OptionCase& c : kCases) {
    SCOPED_TRACE(c.name);
    DhcpReply reply;
    ASSERT_TRUE(reply.Parse(c.bytes));
    EXPECT_EQ(c.expected, Describe(reply));
    EXPECT_EQ(0x12345678u, reply.xid);
    EXPECT_EQ("10.0.0.100", Ip(reply.yiaddr));
    EXPECT_EQ("10.0.0.3", Ip(reply.siaddr));
    EXPECT_EQ(kHostMac, reply.chaddr.bytes);
  }
}

// Short ones and long ones, up to what is kept and beyond it, in pieces as large as they can be.
TEST(DhcpReply, ManyRoutes) {
  for (const std::string route : {"00 0a000001", "20 0a000002 0a000001"}) {
    for (const size_t n : {DhcpReply::kMaxRoutes - 1, DhcpReply::kMaxRoutes, DhcpReply::kMaxRoutes + 1, size_t{200}}) {
      SCOPED_TRACE(absl::StrCat(n, " of ", route));
      Bytes value;
      for (size_t i = 0; i < n; ++i) Append(value, Hex(route));
      Bytes bytes = Reply("350102");
      for (size_t at = 0; at < value.size(); at += 255) {
        const View piece = View(value).subspan(at, std::min<size_t>(255, value.size() - at));
        bytes.push_back(std::byte{121});
        bytes.push_back(std::byte(piece.size()));
        Append(bytes, piece);
      }
      DhcpReply reply;
      ASSERT_TRUE(reply.Parse(bytes));
      EXPECT_EQ(std::min(n, DhcpReply::kMaxRoutes), reply.route_count);
      EXPECT_EQ(n > DhcpReply::kMaxRoutes, reply.routes_left_out);
      EXPECT_EQ(0x0a000001u, reply.routes[reply.route_count - 1].router);
    }
  }
}

TEST(DhcpReply, Malformed) {
  const Bytes good = Reply("350102 ff");
  for (size_t at : {0, 1, 2, 236, 239}) {  // BOOTREPLY, Ethernet, its address length, the cookie
    Bytes wrong = good;
    wrong[at] ^= std::byte{3};
    EXPECT_FALSE(DhcpReply().Parse(wrong)) << at;
  }
  EXPECT_FALSE(DhcpReply().Parse(Reply("3501")));
  EXPECT_FALSE(DhcpReply().Parse(Reply("350102 33")));
  EXPECT_FALSE(DhcpReply().Parse(Reply("350102 33ff00")));
  const std::string padding(2 * 126, '0');
  EXPECT_FALSE(DhcpReply().Parse(Reply("340101", padding + "3501")));  // beyond `file`, not into the cookie
  EXPECT_FALSE(DhcpReply().Parse(Reply("340101", padding + "0035")));  // a code without its length
}

TEST(DhcpReply, Truncated) {
  const Bytes bytes = Reply("340103 350102 ff", "330400000e10 ff", "0104ffffff00 ff");
  ForEachTruncation(bytes, [](const Bytes& cut) {
    const size_t n = cut.size();
    EXPECT_EQ(n == 240 || n == 243 || n == 246, DhcpReply().Parse(cut)) << n;
  });
}

TEST(DhcpReply, Mutated) {
  testing::Random random;
  for (const OptionCase& c : kCases) {
    const View view(c.bytes);
    ForEachMutation(view, 3000, random, [](const Bytes& bytes) {
      DhcpReply reply;
      if (reply.Parse(bytes)) Describe(reply);
      ASSERT_LE(reply.dns_server_count, DhcpReply::kMaxDnsServers);
      ASSERT_LE(reply.route_count, DhcpReply::kMaxRoutes);
    });
    ForEachMutation(view.subspan(240), 3000, random, [&](const Bytes& options) {  // all changes where it matters
      Bytes bytes(view.begin(), view.begin() + 240);
      Append(bytes, options);
      bytes.shrink_to_fit();
      DhcpReply reply;
      if (reply.Parse(bytes)) Describe(reply);
    });
  }
}

Bytes Emit(const DhcpRequest& request) {
  Bytes bytes(DhcpRequest::kMaxSize, std::byte{0xee});
  bytes.resize(request.Emit(bytes.data()));
  return bytes;
}

// The whole message, from its parts.
Bytes Expected(absl::string_view header, absl::string_view options) {
  Bytes bytes = Hex(header);
  bytes.resize(236);
  Append(bytes, Hex("63825363"));
  Append(bytes, Hex(options));
  bytes.resize(300);  // RFC 951 §3
  return bytes;
}

DhcpRequest Full(DhcpType type) {
  return {.type = type, .xid = 0x12345678, .secs = 7, .broadcast = true, .chaddr = {kHostMac},
          .requested_ip = 0x0a000064, .server_id = 0x0a000001, .max_message_size = 1472, .hostname = "weir"};
}

// RFC 2131 §4.4.1, table 5: all fields are set, and each message carries what it may.
TEST(DhcpRequest, Table5) {
  const std::string id = "3d07 01020000000001", list = "3709 017903061a1c333a3b", name = "0c04 77656972";
  EXPECT_EQ(Expected("01010600 12345678 0007 8000 00000000 00000000 00000000 00000000 020000000001",
                     "350101" + id + "32040a000064 390205c0" + list + name + "ff"),
            Emit(Full(DhcpType::kDiscover)));
  EXPECT_EQ(Expected("01010600 12345678 0007 8000 00000000 00000000 00000000 00000000 020000000001",
                     "350103" + id + "32040a000064 36040a000001 390205c0" + list + name + "ff"),
            Emit(Full(DhcpType::kRequest)));
  EXPECT_EQ(Expected("01010600 12345678 0000 0000 00000000 00000000 00000000 00000000 020000000001",
                     "350104" + id + "32040a000064 36040a000001 ff"),
            Emit(Full(DhcpType::kDecline)));
  DhcpRequest release = Full(DhcpType::kRelease);
  release.ciaddr = 0x0a000064;
  EXPECT_EQ(Expected("01010600 12345678 0000 0000 0a000064 00000000 00000000 00000000 020000000001",
                     "350107" + id + "36040a000001 ff"),
            Emit(release));
  EXPECT_EQ(Expected("01010600 00000000 0000 0000 00000000 00000000 00000000 00000000 000000000000",
                     "350101 3d07 01000000000000 39020000" + list + "ff"),
            Emit({}));
}

TEST(DhcpRequest, LongestFitsItsBound) {
  DhcpRequest request = Full(DhcpType::kRequest);
  const std::string name(200, 'a');
  request.hostname = name;
  const Bytes bytes = Emit(request);
  EXPECT_EQ(DhcpRequest::kMaxSize, bytes.size());
  EXPECT_EQ(std::byte{255}, bytes.back());
}

}  // namespace
}  // namespace weir::testing_support
