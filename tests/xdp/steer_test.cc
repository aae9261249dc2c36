// The steering program run by the kernel on single frames (BPF_PROG_TEST_RUN): every branch, every truncation,
// random bytes. No interface is involved; needs root to load the program.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "xdp/bpf/steer.h"
// The skeleton's types come from steer.h.
#include "xdp/bpf/steer.skel.h"

namespace weir::xdp {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr char kOwn4[] = "10.0.0.2";
constexpr char kOther4[] = "10.0.0.3";
constexpr char kOwn6[] = "fd00::2";
constexpr char kOther6[] = "fd00::3";

constexpr uint16_t kArp = 0x0806, kIpv4 = 0x0800, kIpv6 = 0x86dd, kLldp = 0x88cc;
constexpr uint16_t kCTag = 0x8100, kSTag = 0x88a8;
constexpr size_t kEthernet = 14;

struct Tag {
  uint16_t proto;
  uint16_t tci;
};

void Append16(Bytes& frame, uint16_t value) {
  frame.push_back(static_cast<uint8_t>(value >> 8));
  frame.push_back(static_cast<uint8_t>(value));
}

void AppendAddress(Bytes& frame, int family, const char* text) {
  uint8_t bytes[16];
  ASSERT_EQ(inet_pton(family, text, bytes), 1) << text;
  frame.insert(frame.end(), bytes, bytes + (family == AF_INET ? 4 : 16));
}

Bytes Ethernet(const std::vector<Tag>& tags, uint16_t proto) {
  Bytes frame = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
  for (const Tag& tag : tags) {
    Append16(frame, tag.proto);
    Append16(frame, tag.tci);
  }
  Append16(frame, proto);
  return frame;
}

// A request for `target`; `hardware` 1 is Ethernet.
Bytes Arp(const std::vector<Tag>& tags, const char* target, uint16_t hardware = 1) {
  Bytes frame = Ethernet(tags, kArp);
  Append16(frame, hardware);
  Append16(frame, kIpv4);
  frame.insert(frame.end(), {6, 4, 0, 1, 2, 0, 0, 0, 0, 2});
  AppendAddress(frame, AF_INET, kOther4);
  frame.insert(frame.end(), 6, 0);
  AppendAddress(frame, AF_INET, target);
  return frame;
}

// `offset`: the fragment field, with its flags.
Bytes Ipv4(const std::vector<Tag>& tags, const char* destination, uint16_t offset = 0) {
  Bytes frame = Ethernet(tags, kIpv4);
  frame.insert(frame.end(), {0x45, 0, 0, 20, 0, 1});
  Append16(frame, offset);
  frame.insert(frame.end(), {64, 17, 0, 0});
  AppendAddress(frame, AF_INET, kOther4);
  AppendAddress(frame, AF_INET, destination);
  return frame;
}

Bytes Ipv6(const std::vector<Tag>& tags, const char* destination) {
  Bytes frame = Ethernet(tags, kIpv6);
  frame.insert(frame.end(), {0x60, 0, 0, 0, 0, 0, 59, 64});
  AppendAddress(frame, AF_INET6, kOther6);
  AppendAddress(frame, AF_INET6, destination);
  return frame;
}

const char* CounterName(uint32_t counter) {
  static constexpr const char* kNames[] = {
#define STEER_NAME(enumerator, name, help) name,
      STEER_COUNTERS(STEER_NAME)
#undef STEER_NAME
  };
  return kNames[counter];
}

// A loaded program, not attached anywhere.
class Steer {
 public:
  explicit Steer(const std::vector<uint16_t>& vlans, bool transit = false) : skeleton_(steer_bpf__open()) {
    skeleton_->rodata->transit = {.enabled = transit, .mac = {2, 0, 0, 0, 0, 1}};
    skeleton_->rodata->vlan.count = static_cast<uint16_t>(vlans.size());
    for (size_t i = 0; i < vlans.size(); ++i) skeleton_->rodata->vlan.vid[i] = vlans[i];
    EXPECT_EQ(steer_bpf__load(skeleton_.get()), 0);
    const uint8_t present = STEER_OURS;
    uint8_t address[16];
    inet_pton(AF_INET, kOwn4, address);
    EXPECT_EQ(bpf_map_update_elem(Fd(skeleton_->maps.own_addresses4), address, &present, BPF_ANY), 0);
    inet_pton(AF_INET6, kOwn6, address);
    EXPECT_EQ(bpf_map_update_elem(Fd(skeleton_->maps.own_addresses6), address, &present, BPF_ANY), 0);
  }

  void AddKernelAddress4(const char* text) {
    const uint8_t owner = STEER_KERNELS;
    uint8_t address[4];
    ASSERT_EQ(inet_pton(AF_INET, text, address), 1);
    ASSERT_EQ(bpf_map_update_elem(Fd(skeleton_->maps.own_addresses4), address, &owner, BPF_ANY), 0);
  }

  // A test run's frame comes in on queue 0.
  void AddSocket() {
    socket_ = runtime::UniqueFd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(socket_.valid());
    const uint32_t queue = 0;
    const int fd = socket_.get();
    ASSERT_EQ(bpf_map_update_elem(Fd(skeleton_->maps.xsks), &queue, &fd, BPF_ANY), 0);
  }

  // The XDP action; fails the test when the program changed a byte.
  uint32_t Run(const Bytes& frame) {
    Bytes out(frame.size() + 64);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()),
                .data_size_out = static_cast<uint32_t>(out.size()), .repeat = 1);
    const int result = bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.steer), &options);
    EXPECT_EQ(result, 0);
    out.resize(options.data_size_out);
    EXPECT_EQ(out, frame);
    return options.retval;
  }

  uint64_t Counter(uint32_t counter) {
    std::vector<uint64_t> values(static_cast<size_t>(libbpf_num_possible_cpus()));
    EXPECT_EQ(bpf_map_lookup_elem(Fd(skeleton_->maps.counters), &counter, values.data()), 0);
    uint64_t sum = 0;
    for (const uint64_t value : values) sum += value;
    return sum;
  }

  // Runs the frame and checks that it is counted once, as `counter`, and nowhere else.
  void Expect(const Bytes& frame, uint32_t action, uint32_t counter, const std::string& what) {
    std::vector<uint64_t> before(STEER_COUNTER_COUNT);
    for (uint32_t i = 0; i < STEER_COUNTER_COUNT; ++i) before[i] = Counter(i);
    EXPECT_EQ(Run(frame), action) << what;
    for (uint32_t i = 0; i < STEER_COUNTER_COUNT; ++i) {
      EXPECT_EQ(Counter(i) - before[i], i == counter ? 1u : 0u) << what << ": " << CounterName(i);
    }
  }

 private:
  struct Destroy {
    void operator()(steer_bpf* skeleton) const { steer_bpf__destroy(skeleton); }
  };
  static int Fd(const bpf_map* map) { return bpf_map__fd(map); }

  std::unique_ptr<steer_bpf, Destroy> skeleton_;
  runtime::UniqueFd socket_;
};

class SteerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "SKIPPED: loading a BPF program needs root";
  }
};

struct Case {
  const char* what;
  std::vector<uint16_t> vlans;
  Bytes frame;
  uint32_t counter;
};

std::vector<Case> Cases() {
  Bytes qinq = Ipv4({{kSTag, 100}, {kCTag, 5}}, kOwn4);
  return {
      {"ARP for us", {}, Arp({}, kOwn4), STEER_REDIRECT_ARP},
      {"ARP for another", {}, Arp({}, kOther4), STEER_PASS_NOT_OURS},
      {"ARP of another hardware type", {}, Arp({}, kOwn4, 6), STEER_PASS_NOT_OURS},
      {"IPv4 for us", {}, Ipv4({}, kOwn4), STEER_REDIRECT_IPV4},
      {"IPv4 for another", {}, Ipv4({}, kOther4), STEER_PASS_NOT_OURS},
      {"first fragment", {}, Ipv4({}, kOwn4, 0x2000), STEER_REDIRECT_IPV4},
      {"later fragment", {}, Ipv4({}, kOwn4, 0x00b9), STEER_REDIRECT_IPV4},
      {"IPv6 for us", {}, Ipv6({}, kOwn6), STEER_REDIRECT_IPV6},
      {"IPv6 for another", {}, Ipv6({}, kOther6), STEER_PASS_NOT_OURS},
      {"LLDP", {}, Ethernet({}, kLldp), STEER_PASS_ETHERTYPE},
      {"802.3 length field", {}, Ethernet({}, 46), STEER_PASS_ETHERTYPE},
      {"LLDP in our VLAN", {5}, Ethernet({{kCTag, 5}}, kLldp), STEER_PASS_ETHERTYPE},
      {"tagged, we are not", {}, Ipv4({{kCTag, 5}}, kOwn4), STEER_PASS_VLAN},
      {"untagged, we are not", {5}, Ipv4({}, kOwn4), STEER_PASS_VLAN},
      {"our VLAN", {5}, Ipv4({{kCTag, 5}}, kOwn4), STEER_REDIRECT_IPV4},
      {"our VLAN with a priority", {5}, Arp({{kCTag, 0xe005}}, kOwn4), STEER_REDIRECT_ARP},
      {"our VLAN as 802.1ad", {5}, Ipv6({{kSTag, 5}}, kOwn6), STEER_REDIRECT_IPV6},
      {"another VLAN", {5}, Ipv4({{kCTag, 6}}, kOwn4), STEER_PASS_VLAN},
      {"priority tag", {}, Ipv4({{kCTag, 0xe000}}, kOwn4), STEER_REDIRECT_IPV4},
      {"priority tag where a VLAN is wanted", {5}, Ipv4({{kCTag, 0}}, kOwn4), STEER_PASS_VLAN},
      {"priority tag before ours", {5}, Ipv4({{kSTag, 0}, {kCTag, 5}}, kOwn4), STEER_REDIRECT_IPV4},
      {"both our tags", {100, 5}, qinq, STEER_REDIRECT_IPV4},
      {"both our tags, turned round", {5, 100}, qinq, STEER_PASS_VLAN},
      {"a second tag that is not ours", {100}, qinq, STEER_PASS_VLAN},
      {"one tag of two", {100, 5}, Ipv4({{kSTag, 100}}, kOwn4), STEER_PASS_VLAN},
      {"wrong inner tag", {100, 5}, Ipv4({{kSTag, 100}, {kCTag, 6}}, kOwn4), STEER_PASS_VLAN},
      {"three tags", {100, 5}, Ipv4({{kSTag, 100}, {kCTag, 5}, {kCTag, 7}}, kOwn4), STEER_PASS_VLAN},
  };
}

bool IsRedirect(uint32_t counter) {
  return counter == STEER_REDIRECT_ARP || counter == STEER_REDIRECT_IPV4 || counter == STEER_REDIRECT_IPV6;
}

TEST_F(SteerTest, EveryBranch) {
  for (const Case& test : Cases()) {
    Steer steer(test.vlans);
    steer.AddSocket();
    steer.Expect(test.frame, IsRedirect(test.counter) ? XDP_REDIRECT : XDP_PASS, test.counter, test.what);
    Bytes padded = test.frame;
    padded.resize(padded.size() + 46, 0xa5);
    steer.Expect(padded, IsRedirect(test.counter) ? XDP_REDIRECT : XDP_PASS, test.counter, test.what);
  }
}

// A router takes what is sent to its MAC for anybody but the kernel, and nothing that stays on its link.
TEST_F(SteerTest, Transit) {
  Steer router({}, /*transit=*/true);
  router.AddSocket();
  router.AddKernelAddress4("10.0.0.4");
  const Case cases[] = {
      {"IPv4 for us", {}, Ipv4({}, kOwn4), STEER_REDIRECT_IPV4},
      {"IPv4 for another", {}, Ipv4({}, kOther4), STEER_REDIRECT_TRANSIT},
      {"IPv4 for the kernel", {}, Ipv4({}, "10.0.0.4"), STEER_PASS_NOT_OURS},
      {"IPv6 for us", {}, Ipv6({}, kOwn6), STEER_REDIRECT_IPV6},
      {"IPv6 for another", {}, Ipv6({}, kOther6), STEER_REDIRECT_TRANSIT},
      {"link-local", {}, Ipv6({}, "fe80::3"), STEER_PASS_NOT_OURS},
      {"ARP for another", {}, Arp({}, kOther4), STEER_PASS_NOT_OURS},
  };
  for (const Case& test : cases) {
    const bool redirect = IsRedirect(test.counter) || test.counter == STEER_REDIRECT_TRANSIT;
    router.Expect(test.frame, redirect ? XDP_REDIRECT : XDP_PASS, test.counter, test.what);
    Bytes to_another_mac = test.frame;
    to_another_mac[5] = 9;
    if (test.counter == STEER_REDIRECT_TRANSIT) {
      router.Expect(to_another_mac, XDP_PASS, STEER_PASS_NOT_OURS, std::string(test.what) + ", not to our MAC");
    }
  }
}

TEST_F(SteerTest, OursWithoutSocketGoesToTheKernel) {
  Steer steer({});
  for (const Bytes& frame : {Arp({}, kOwn4), Ipv4({}, kOwn4), Ipv6({}, kOwn6)}) {
    steer.Expect(frame, XDP_PASS, STEER_PASS_NO_SOCKET, "no socket");
  }
}

// The kernel's test run takes no frame without a whole Ethernet header, as no driver delivers one.
TEST_F(SteerTest, EveryTruncationPasses) {
  for (const Case& test : Cases()) {
    if (!IsRedirect(test.counter)) continue;
    Steer steer(test.vlans);
    steer.AddSocket();
    for (size_t length = kEthernet; length < test.frame.size(); ++length) {
      steer.Expect(Bytes(test.frame.begin(), test.frame.begin() + static_cast<ptrdiff_t>(length)), XDP_PASS,
                   STEER_PASS_TRUNCATED, std::string(test.what) + " cut to " + std::to_string(length));
    }
  }
}

// Anything on the wire ends as one of the two actions, counted exactly once.
TEST_F(SteerTest, RandomFramesPassOrRedirect) {
  constexpr uint32_t kSeed = 20240917;
  constexpr int kFrames = 50000;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  const uint16_t protos[] = {kArp, kIpv4, kIpv6, kLldp, kCTag, kSTag};
  const std::vector<Case> cases = Cases();
  Steer steers[] = {Steer({}), Steer({5}), Steer({100, 5})};
  for (Steer& steer : steers) steer.AddSocket();
  for (int i = 0; i < kFrames; ++i) {
    Steer& steer = steers[random() % std::size(steers)];
    Bytes frame(kEthernet + random() % 100);
    for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random());
    switch (random() % 3) {
      case 0:  // noise with an EtherType that is looked at
        for (size_t at = 12; at + 2 <= frame.size() && at < 24; at += 4) {
          const uint16_t proto = protos[random() % std::size(protos)];
          frame[at] = static_cast<uint8_t>(proto >> 8);
          frame[at + 1] = static_cast<uint8_t>(proto);
        }
        break;
      case 1: {  // a known frame with some bytes changed
        frame = cases[random() % cases.size()].frame;
        for (uint32_t n = random() % 4; n > 0; --n) frame[random() % frame.size()] ^= 1u << random() % 8;
        break;
      }
      default:  // noise
        break;
    }
    const uint32_t action = steer.Run(frame);
    ASSERT_TRUE(action == XDP_PASS || action == XDP_REDIRECT) << "frame " << i << ": action " << action;
  }
  uint64_t counted = 0;
  for (uint32_t i = 0; i < STEER_COUNTER_COUNT; ++i) {
    uint64_t sum = 0;
    for (Steer& steer : steers) sum += steer.Counter(i);
    std::printf("%-16s %llu\n", CounterName(i), static_cast<unsigned long long>(sum));
    counted += sum;
  }
  EXPECT_EQ(counted, uint64_t{kFrames});
}

}  // namespace
}  // namespace weir::xdp
