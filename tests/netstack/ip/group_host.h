// GroupHost: a host under test whose groups can be joined and asked for, by either protocol: IGMP with the groups
// 239.1.1.n and sources 10.0.1.n, or MLD with ff15::n and fd00::1:n. Both are called g<n> and s<n>, so that one test
// and one expectation is for both. Packets are made and taken apart here by hand, apart from netstack/wire.
//
//   GroupHost host(/*v4=*/true);
//   UdpSock* sock = host.Bind();
//   EXPECT_EQ(0, host.Call(sock, GroupCall::kJoin, 1));
//   EXPECT_EQ("to_ex g1 {}", host.Sent());
#ifndef TESTS_NETSTACK_IP_GROUP_HOST_H_
#define TESTS_NETSTACK_IP_GROUP_HOST_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netstack/udp/udp_multicast.h"
#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"

namespace weir::testing_support {

struct GroupRecord {
  std::string type;  // "is_in", "is_ex", "to_in", "to_ex", "allow", "block"; "report" and "leave" of older versions
  std::string group;
  std::vector<std::string> sources;
};

// What the host sent about groups.
struct GroupMessage {
  Nanos at_ns = 0;
  std::string problem;  // what is wrong with it; empty: nothing
  std::string version;  // "3", "2", "1"; "mld2", "mld1"
  std::string source;
  std::string destination;
  std::vector<GroupRecord> records;
  size_t size = 0;  // of the frame
};

struct GroupQuery {
  int version = 3;           // 3, 2 or 1; MLD has 2 for 3, and 1 for 2
  std::optional<int> group;  // none: a general query
  std::vector<int> sources = {};
  Nanos max_response_ns = 10 * kSecond;
  int robustness = 2;
  int interval_s = 125;
  // What makes a router's query right; see MulticastQuery.
  uint8_t ttl = 1;
  bool router_alert = true;
  std::optional<std::string> source = {};
  std::optional<std::string> destination = {};
  bool bad_checksum = false;
  std::optional<size_t> cut = {};  // the message's bytes
};

class GroupHost {
 public:
  explicit GroupHost(bool v4, uint32_t mtu = 1500);
  ~GroupHost();

  bool v4() const { return v4_; }
  InetTestHost& host() { return host_; }
  IpAddress Group(int n) const;
  IpAddress Source(int n) const;

  netstack::UdpSock* Bind();
  void Unbind(netstack::UdpSock* sock);
  // Returns an errno; what it says of the interface's groups is sent within a tick.
  int Call(netstack::UdpSock* sock, netstack::GroupCall call, int group, int source = 0);
  void Query(const GroupQuery& query) { host_.Receive(QueryFrame(query)); }
  Bytes QueryFrame(const GroupQuery& query) const;
  // Another host's report of an older version.
  void OtherReport(int group, bool oldest = false);

  void Advance(Nanos by_ns) { host_.Advance(by_ns); }
  // Messages, the oldest first; those about the addresses' own groups are left out.
  std::vector<GroupMessage> TakeMessages();
  // Their records, joined by "; ", or "BAD …".
  std::string Sent();
  // The same after a tick: what is said at once.
  std::string SentNow();

 private:
  GroupMessage Parse(const Departure& departure) const;
  std::string Name(View address) const;

  const bool v4_;
  InetTestHost host_;
  std::vector<std::unique_ptr<netstack::UdpSock>> socks_;
};

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_IP_GROUP_HOST_H_
