// What a lease has beside its address and its times (RFC 2132, RFC 3442).
#include <gtest/gtest.h>

#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/netstack/udp/dhcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DhcpLease;

using Trace = DhcpTrace;

std::string Routes(const DhcpLease& lease) {
  std::string text;
  for (const DhcpLease::Route& route : std::span(lease.routes).first(lease.route_count)) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", route.network.ToString(), " via ", route.gateway.ToString());
  }
  return text;
}

// RFC 3442: the router does not count beside classless routes; beside nonsense it does.
TEST(DhcpClient, ClasslessRoutes) {
  const struct {
    const char* name;
    const char* option;
    const char* routes;
  } cases[] = {
      {"without", "", "0.0.0.0/0 via 10.0.0.2"},
      {"with a default route", "00 0a000003 10ac10 0a000004", "0.0.0.0/0 via 10.0.0.3, 172.16.0.0/16 via 10.0.0.4"},
      {"without one", "10ac10 0a000004", "172.16.0.0/16 via 10.0.0.4"},
      {"on the link", "10ac10 00000000", "172.16.0.0/16 via 0.0.0.0"},
      {"a router that none can be", "10ac10 e0000001 10ac11 0a000004", "172.17.0.0/16 via 10.0.0.4"},
      {"nonsense", "10ac", "0.0.0.0/0 via 10.0.0.2"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Trace t;
    t.Bind({.type = kAck, .options = {{3, Be32(0x0a000002)}, {121, Hex(c.option)}}});
    EXPECT_EQ(c.routes, Routes(t.client.lease()));
  }
}

// The other options of RFC 2132; those that cannot be are left out.
TEST(DhcpClient, WhatALeaseHas) {
  Trace t;
  t.Bind({.type = kAck, .options = {{3, Be32(0x0a000002)}, {6, Hex("0a00000a e0000001 0a00000b")}, {26, Hex("05dc")},
                                    {28, Be32(0x0a0000ff)}}});
  const DhcpLease& lease = t.client.lease();
  EXPECT_EQ("0.0.0.0/0 via 10.0.0.2", Routes(lease));
  EXPECT_EQ(IpAddress::V4(0x0a0000ff), lease.broadcast);
  EXPECT_EQ(1500, lease.mtu);
  ASSERT_EQ(2u, lease.dns_server_count);
  EXPECT_EQ("10.0.0.10", lease.dns_servers[0].ToString());
  EXPECT_EQ("10.0.0.11", lease.dns_servers[1].ToString());

  Trace odd;
  odd.Bind({.type = kAck, .options = {{3, Be32(0xe0000001)}, {6, Be32(0)}, {26, Hex("0044")}, {28, Be32(0xc0a80001)}}});
  EXPECT_EQ("", Routes(odd.client.lease()));
  EXPECT_FALSE(odd.client.lease().broadcast);
  EXPECT_FALSE(odd.client.lease().mtu);
  EXPECT_EQ(0u, odd.client.lease().dns_server_count);
}

}  // namespace
}  // namespace weir::testing_support
