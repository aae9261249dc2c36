// GroupTest: a GroupHost that has joined group g1 and has said so, for tests of either protocol.
#ifndef TESTS_NETSTACK_IP_GROUP_FIXTURE_H_
#define TESTS_NETSTACK_IP_GROUP_FIXTURE_H_

#include <gtest/gtest.h>

#include <string>

#include "tests/netstack/ip/group_host.h"

namespace weir::testing_support {

class GroupTest : public ::testing::Test {
 protected:
  struct QueryCase {
    const char* name;
    GroupQuery query;
    const char* reason;  // how it ends
  };

  explicit GroupTest(bool v4) : host_(v4), sock_(host_.Bind()) {
    EXPECT_EQ(0, host_.Call(sock_, netstack::GroupCall::kJoin, 1));
    host_.Advance(30 * kSecond);
    host_.TakeMessages();
  }
  std::string Within(Nanos ns) {
    host_.Advance(ns);
    return host_.Sent();
  }
  const char* Last() { return netstack::kDropReasonNames[static_cast<size_t>(host_.host().last())]; }
  // The query ends as it should, and is answered if it is consumed.
  void ExpectTaken(const QueryCase& c) {
    GroupQuery query = c.query;
    query.max_response_ns = kSecond;
    host_.Query(query);
    EXPECT_STREQ(c.reason, Last()) << c.name;
    EXPECT_EQ(std::string(c.reason) == "kConsumed" ? "is_ex g1 {}" : "", Within(2 * kSecond)) << c.name;
  }

  GroupHost host_;
  netstack::UdpSock* sock_;
};

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_IP_GROUP_FIXTURE_H_
