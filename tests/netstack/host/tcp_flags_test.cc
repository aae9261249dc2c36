// --tcp=KEY=VALUE,…: names and values of Linux's ip-sysctl documentation, and one line for each mistake.
#include "netstack/host/tcp_flags.h"

#include <gtest/gtest.h>

#include <string>

namespace weir {
namespace {

using netstack::TcpSettings;

TcpSettings Parsed(absl::string_view text) {
  TcpSettings settings;
  const absl::Status status = ParseTcpSettings(text, &settings);
  EXPECT_TRUE(status.ok()) << status;
  return settings;
}

std::string Error(absl::string_view text) {
  TcpSettings settings;
  const absl::Status status = ParseTcpSettings(text, &settings);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  return std::string(status.message());
}

TEST(TcpFlags, SetsWhatIsNamed) {
  const TcpSettings settings = Parsed("timestamps=2,sack=0");
  EXPECT_EQ(settings.timestamps, 2);
  EXPECT_FALSE(settings.sack);
  EXPECT_TRUE(settings.dsack);
  EXPECT_TRUE(settings.window_scaling);
}

TEST(TcpFlags, SysctlNamesToo) {
  EXPECT_FALSE(Parsed("tcp_window_scaling=0, tcp_dsack=1").window_scaling);
}

TEST(TcpFlags, NothingIsNothing) { EXPECT_EQ(Parsed("").timestamps, TcpSettings().timestamps); }

TEST(TcpFlags, CongestionControlByName) {
  EXPECT_EQ(Parsed("congestion_control=reno").congestion_control, netstack::TcpCongestionControl::kReno);
  EXPECT_EQ(Error("congestion_control=vegas"), "--tcp=congestion_control=vegas: no such congestion control");
}

TEST(TcpFlags, BuffersAsThreeNumbers) {
  const TcpSettings settings = Parsed("rmem=4096 131072 6291456,tcp_wmem=5000 5000 5000");
  EXPECT_EQ(settings.receive_buffer_min, 4096u);
  EXPECT_EQ(settings.receive_buffer, 131072u);
  EXPECT_EQ(settings.receive_buffer_max, 6291456u);
  EXPECT_EQ(settings.send_buffer_max, 5000u);
  for (const char* text : {"rmem=1 2", "rmem=1 2 3 4", "rmem=2 1 3", "rmem=0 1 2", "rmem=1 2 8388608", "wmem=a b c"}) {
    EXPECT_NE(Error(text).find("three numbers up to 8388480, rising"), std::string::npos) << text;
  }
}

TEST(TcpFlags, PortRangeAsTwoNumbers) {
  const TcpSettings settings = Parsed("ip_local_port_range=1024 65535");
  EXPECT_EQ(settings.local_ports.first, 1024);
  EXPECT_EQ(settings.local_ports.last, 65535);
  for (const char* range : {"1024", "0 100", "200 100", "1 65536", "1 2 3", "a b"}) {
    const std::string text = std::string("ip_local_port_range=") + range;
    EXPECT_NE(Error(text.c_str()).find("two ports from 1 to 65535"), std::string::npos) << text;
  }
}

TEST(TcpFlags, UnknownNames) {
  EXPECT_EQ(Error("sack=1,sock=0").find("--tcp=sock=0: no such setting; there are "), 0u);
  EXPECT_NE(Error("tcp_=0").find("window_scaling"), std::string::npos);
}

TEST(TcpFlags, BadValues) {
  EXPECT_EQ(Error("timestamps=3"), "--tcp=timestamps=3: a number from 0 to 2");
  for (const char* text : {"timestamps", "timestamps=", "timestamps=-1", "timestamps=1x", "timestamps=4294967296"}) {
    EXPECT_NE(Error(text).find("a number from 0 to 2"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace weir
