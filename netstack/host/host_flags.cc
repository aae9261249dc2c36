#include "netstack/host/host_flags.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "netstack/host/tcp_flags.h"

ABSL_FLAG(std::string, stack, "kernel", "kernel (kernel sockets, no privileges) or xdp (weir's own stack on AF_XDP)");
ABSL_FLAG(std::string, interface, "",
          "xdp: the interfaces, as 'ip link' names them, with commas between; eth0.100 for VLAN 100 of eth0");
ABSL_FLAG(std::string, address, "",
          "xdp: the stack's own addresses: with their prefix lengths, such as 10.0.0.2/24,fd00::2/64, dhcp for a lease, "
          "slaac for what IPv6 routers advertise; 10.1.0.2/24@eth1 for another interface than the first");
ABSL_FLAG(std::string, gateway, "",
          "xdp: where packets to other networks go, such as 10.0.0.1,fd00::1 or fe80::1%eth0");
ABSL_FLAG(std::string, route, "", "xdp: further routes, such as '10.9.0.0/16 via 10.0.0.7,fd09::/48 via fd00::7'");
ABSL_FLAG(std::string, filter, "", "xdp: a file of packet filter rules: 'input proto tcp dport 22 src 10.0.0.0/8 accept'");
ABSL_FLAG(bool, ip_forward, false, "xdp: pass packets on between the interfaces, as a router does");
ABSL_FLAG(int, mtu, 0, "xdp: largest IP packet, 0 for the interface's own");
ABSL_FLAG(uint32_t, frames, 0, "packet buffers of each shard, 0 for as many as its rings and sockets need");
ABSL_FLAG(uint32_t, frame_size, 0, "bytes of a packet buffer: 2048, 4096, or 0 for what the MTU needs");
ABSL_FLAG(int, shards, 1, "threads, each with its own ring, sockets and memory");
ABSL_FLAG(std::string, xdp_attach, "auto", "xdp: auto, native (in the driver) or generic (any interface, slower)");
ABSL_FLAG(std::string, zero_copy, "auto", "xdp: auto, on or off; whether the device reads and writes our frames itself");
ABSL_FLAG(std::string, poll, "adaptive", "when idle: adaptive (spin while it pays), busy (never sleep) or wait (sleep)");
ABSL_FLAG(std::string, tcp, "",
          "xdp: TCP settings by the names of their sysctls, such as timestamps=0,sack=0; an unknown one shows them all");
ABSL_FLAG(std::string, pcap, "", "xdp: write all frames to this file");
ABSL_FLAG(std::string, metrics, "", "serve counters over HTTP on this kernel-socket ADDR:PORT");

namespace weir {
namespace {

template <typename Enum>
struct Choice {
  const char* name;
  Enum value;
};

template <typename Enum, size_t kCount>
absl::Status Choose(const char* flag, const std::string& text, const Choice<Enum> (&choices)[kCount], Enum* value) {
  std::string names;
  for (const Choice<Enum>& choice : choices) {
    if (text == choice.name) {
      *value = choice.value;
      return absl::OkStatus();
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", choice.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", text, ": choose one of ", names));
}

absl::Status Explain(const char* flag, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("--", flag, ": ", status.message()));
}

absl::Status ChoicesFromFlags(HostOptions* options) {
  absl::Status status = Choose<StackKind>("stack", absl::GetFlag(FLAGS_stack),
                                          {{"kernel", StackKind::kKernel}, {"xdp", StackKind::kXdp}}, &options->stack);
  status.Update(Choose<XdpAttach>(
      "xdp_attach", absl::GetFlag(FLAGS_xdp_attach),
      {{"auto", XdpAttach::kAuto}, {"native", XdpAttach::kNative}, {"generic", XdpAttach::kGeneric}},
      &options->xdp_attach));
  status.Update(Choose<ZeroCopyMode>(
      "zero_copy", absl::GetFlag(FLAGS_zero_copy),
      {{"auto", ZeroCopyMode::kAuto}, {"on", ZeroCopyMode::kOn}, {"off", ZeroCopyMode::kOff}}, &options->zero_copy));
  status.Update(
      Choose<PollMode>("poll", absl::GetFlag(FLAGS_poll),
                       {{"adaptive", PollMode::kAdaptive}, {"busy", PollMode::kBusy}, {"wait", PollMode::kWait}},
                       &options->poll));
  return status;
}

std::vector<std::string> CommaList(const std::string& text) {
  return absl::StrSplit(text, ',', absl::SkipWhitespace());
}

// "10.0.0.2/24", "dhcp", "slaac@eth1".
absl::StatusOr<HostOptions::Address> ParseAddress(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('@', 1));
  if (parts.first == "dhcp") return HostOptions::Address{{}, parts.second, AddressKind::kDhcp};
  if (parts.first == "slaac") return HostOptions::Address{{}, parts.second, AddressKind::kSlaac};
  absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(parts.first);
  if (!prefix.ok()) return Explain("address", prefix.status());
  return HostOptions::Address{*prefix, parts.second};
}

// A route to `prefix` through "10.0.0.1" or "fe80::1%eth0"; the default route of the gateway's family without a prefix.
absl::StatusOr<HostOptions::Route> ParseRoute(const char* flag, const std::string& text,
                                              const std::optional<IpPrefix>& prefix) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('%', 1));
  absl::StatusOr<IpAddress> gateway = IpAddress::Parse(parts.first);
  if (!gateway.ok()) return Explain(flag, gateway.status());
  if (!parts.second.empty() && (gateway->is_v4() || !gateway->is_link_local())) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", text, ": only a link-local IPv6 address has a %"));
  }
  const IpPrefix all{gateway->is_v4() ? IpAddress::V4(0) : IpAddress(), 0};
  return HostOptions::Route{prefix.value_or(all), *gateway, parts.second};
}

absl::Status AddressesFromFlags(HostOptions* options) {
  for (const std::string& text : CommaList(absl::GetFlag(FLAGS_address))) {
    absl::StatusOr<HostOptions::Address> address = ParseAddress(text);
    if (!address.ok()) return address.status();
    options->addresses.push_back(*std::move(address));
  }
  for (const std::string& text : CommaList(absl::GetFlag(FLAGS_gateway))) {
    absl::StatusOr<HostOptions::Route> route = ParseRoute("gateway", text, std::nullopt);
    if (!route.ok()) return route.status();
    options->routes.push_back(*std::move(route));
  }
  for (const std::string& text : CommaList(absl::GetFlag(FLAGS_route))) {
    const std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipWhitespace());
    if (words.size() != 3 || words[1] != "via") {
      return absl::InvalidArgumentError(absl::StrCat("--route=", text, ": write NETWORK/LENGTH via GATEWAY"));
    }
    absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(words[0]);
    if (!prefix.ok()) return Explain("route", prefix.status());
    absl::StatusOr<HostOptions::Route> route = ParseRoute("route", words[2], *prefix);
    if (!route.ok()) return route.status();
    options->routes.push_back(*std::move(route));
  }
  if (const std::string text = absl::GetFlag(FLAGS_metrics); !text.empty()) {
    absl::StatusOr<Endpoint> metrics = Endpoint::Parse(text);
    if (!metrics.ok()) return Explain("metrics", metrics.status());
    options->metrics = *metrics;
  }
  return absl::OkStatus();
}

// In the place of std::cerr's buffer while Abseil parses: of what it says before it ends the process, the first line,
// in weir's form.
class UsageErrors : public std::stringbuf {
 public:
  UsageErrors() : before_(std::cerr.rdbuf(this)) {}
  ~UsageErrors() override { std::cerr.rdbuf(before_); }

 protected:
  int sync() override {
    const std::string text = str();
    const size_t end = text.find('\n');
    if (end == std::string::npos || reported_) return 0;
    reported_ = true;
    absl::string_view line(text.data(), end);
    absl::ConsumePrefix(&line, "ERROR: ");
    std::fprintf(stderr, "weir: %.*s, see --help\n", static_cast<int>(line.size()), line.data());
    return 0;
  }

 private:
  std::streambuf* before_;
  bool reported_ = false;
};

std::vector<char*> Parse(int argc, char** argv, absl::string_view usage) {
  absl::SetProgramUsageMessage(usage);
  // --help shows the program's flags and ours, not Abseil's own.
  absl::SetFlagsUsageConfig(
      {.contains_help_flags = [](absl::string_view file) { return !absl::StrContains(file, "absl/flags/"); }});
  if (argc == 2 && (argv[1] == absl::string_view("--help") || argv[1] == absl::string_view("-h"))) {
    // Abseil shows it and ends with 1, as if it had been a mistake to ask.
    argv[1] = const_cast<char*>("--help");
    std::atexit([] {
      std::fflush(stdout);
      std::_Exit(0);
    });
  }
  UsageErrors errors;
  return absl::ParseCommandLine(argc, argv);
}

}  // namespace

absl::StatusOr<HostOptions> HostOptionsFromFlags() {
  HostOptions options;
  absl::Status status = ChoicesFromFlags(&options);
  status.Update(AddressesFromFlags(&options));
  status.Update(ParseTcpSettings(absl::GetFlag(FLAGS_tcp), &options.tcp));
  if (!status.ok()) return status;
  options.shards = absl::GetFlag(FLAGS_shards);
  options.frames = absl::GetFlag(FLAGS_frames);
  options.frame_size = absl::GetFlag(FLAGS_frame_size);
  options.interfaces = CommaList(absl::GetFlag(FLAGS_interface));
  options.filter = absl::GetFlag(FLAGS_filter);
  options.ip_forward = absl::GetFlag(FLAGS_ip_forward);
  options.pcap = absl::GetFlag(FLAGS_pcap);
  const int mtu = absl::GetFlag(FLAGS_mtu);
  if (mtu != 0 && (mtu < 576 || mtu > 65535)) {
    return absl::InvalidArgumentError(absl::StrCat("--mtu=", mtu, ": at least 576, at most 65535"));
  }
  options.mtu = static_cast<uint32_t>(mtu);
  return options;
}

int RunWithFlags(int argc, char** argv, absl::string_view usage, const ShardMain& main,
                 const std::function<void(HostOptions&)>& adjust) {
  const std::vector<char*> rest = Parse(argc, argv, usage);
  if (rest.size() > 1) {
    std::fprintf(stderr, "weir: unexpected argument '%s': every option is a --flag, see --help\n", rest[1]);
    return 1;
  }
  absl::StatusOr<HostOptions> options = HostOptionsFromFlags();
  if (options.ok()) adjust(*options);
  const absl::Status status = options.ok() ? Host::Run(*options, main) : options.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "weir: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace weir
