// XdpLink and SteerProgram on a veth pair: frames in and out, accounting, what is said when something is in the
// way, and what is left on the interface afterwards. Needs root.
#include "xdp/xdp_link.h"

#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "tests/xdp/xdp_link_fixture.h"

namespace weir::xdp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

uint32_t AttachedProgram() {
  uint32_t id = 0;
  bpf_xdp_query_id(static_cast<int>(if_nametoindex(kDevice)), 0, &id);
  return id;
}

// Runs `body` in a child and returns its exit code; the child's own destructors do not run.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(XdpLinkTest, ReceivesEverySizeByteForByte) {
  OpenLink();
  const size_t sizes[] = {60, 61, 64, 127, 128, 590, 1500, 1513, 1514};
  EXPECT_FALSE(link_->RxReady());
  uint32_t number = 0;
  for (const size_t size : sizes) ASSERT_TRUE(peer_->Send(Packet(size, number++)));
  const std::vector<Frame*> frames = Take(std::size(sizes));
  ASSERT_EQ(frames.size(), std::size(sizes));
  for (uint32_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(Contents(*frames[i]), Packet(sizes[i], i));
    EXPECT_EQ(frames[i]->refs, 1);
    EXPECT_GE(frames[i]->headroom(), runtime::kTxHeadroom);
    Unref(frames[i]);
  }
  EXPECT_FALSE(link_->RxReady());
  EXPECT_EQ(link_->counters().rx_frames, std::size(sizes));
  EXPECT_EQ(program_->Counters()[1].value, std::size(sizes)) << program_->Counters()[1].name;
}

TEST_F(XdpLinkTest, FactsOfTheDevice) {
  OpenLink();
  EXPECT_EQ(link_->interface().name, kDevice);
  EXPECT_EQ(link_->interface().mac, VethPair::kServerMac);
  EXPECT_EQ(link_->interface().mtu, 1500u);
  EXPECT_EQ(link_->interface().driver, "veth");
  EXPECT_EQ(link_->interface().rx_queues, 1u);
  EXPECT_TRUE(link_->interface().partial_checksums);
  EXPECT_TRUE(link_->native());
  EXPECT_FALSE(link_->zero_copy());
}

TEST_F(XdpLinkTest, ReflectsThroughEveryWrapOfTheRings) {
  OpenLink({.rx_size = 64, .fill_size = 64, .tx_size = 64, .completion_size = 64});
  Reflect(1000, 1514);
  const XdpLink::Counters counters = link_->counters();
  EXPECT_EQ(counters.rx_frames, 1000u);
  EXPECT_EQ(counters.tx_frames, 1000u);
  EXPECT_EQ(counters.doorbell_errors, 0u);
  EXPECT_EQ(counters.kernel_rx_dropped, 0u);
  EXPECT_EQ(counters.kernel_tx_invalid, 0u);
}

TEST_F(XdpLinkTest, GenericModeWorksToo) {
  OpenLink({}, AttachMode::kGeneric);
  EXPECT_FALSE(link_->native());
  EXPECT_EQ(program_->mode(), AttachMode::kGeneric);
  Reflect(200, 600);
}

TEST_F(XdpLinkTest, BusyPollingWorksToo) {
  OpenLink({.busy_poll = true});
  EXPECT_TRUE(link_->busy_poll());
  Reflect(200, 600);
}

TEST_F(XdpLinkTest, DescriptorIsReadableWhenFramesWait) {
  OpenLink();
  pollfd wait = {.fd = link_->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0);
  ASSERT_TRUE(peer_->Send(Packet(100, 1)));
  EXPECT_EQ(poll(&wait, 1, 5000), 1);
  EXPECT_TRUE(link_->RxReady());
  for (Frame* frame : Take(1)) Unref(frame);
}

TEST_F(XdpLinkTest, FramesForOthersDoNotCome) {
  OpenLink();
  Bytes other = Packet(100, 1);
  other[33] = 9;  // 10.0.0.9
  ASSERT_TRUE(peer_->Send(other));
  ASSERT_TRUE(peer_->Send(Packet(100, 2)));
  const std::vector<Frame*> frames = Take(1);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(Contents(*frames[0]), Packet(100, 2));
  Unref(frames[0]);
  ASSERT_TRUE(program_->RemoveAddress4(inet_addr("10.0.0.2")).ok());
  ASSERT_TRUE(peer_->Send(Packet(100, 3)));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(link_->RxReady());
}

TEST_F(XdpLinkTest, AddressesComeAndGo) {
  OpenLink();
  const std::array<uint8_t, 16> own = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
  Bytes packet = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 59, 64};
  packet.resize(38);
  packet.insert(packet.end(), own.begin(), own.end());
  packet.resize(60);
  ASSERT_TRUE(program_->AddAddress6(own).ok());
  EXPECT_TRUE(program_->AddAddress6(own).ok());
  ASSERT_TRUE(peer_->Send(packet));
  for (Frame* frame : Take(1)) {
    EXPECT_EQ(Contents(*frame), packet);
    Unref(frame);
  }
  EXPECT_TRUE(program_->RemoveAddress6(own).ok());
  EXPECT_TRUE(program_->RemoveAddress6(own).ok());
  absl::Status status;
  uint32_t added = 1;  // 10.0.0.2
  while (status.ok() && added < 5000) {
    status = program_->AddAddress4(htonl(0x0a010000 + added));
    if (status.ok()) ++added;
  }
  EXPECT_EQ(added, 1024u);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST_F(XdpLinkTest, FullTxRingTakesWhatFits) {
  OpenLink({.tx_size = 64, .completion_size = 64});
  std::vector<Frame*> frames;
  for (uint32_t i = 0; i < 100; ++i) {
    Frame* frame = pool_->Alloc();
    ASSERT_NE(frame, nullptr);
    const Bytes bytes = Packet(200, i);
    std::memcpy(frame->data, bytes.data(), bytes.size());
    frame->len = static_cast<uint32_t>(bytes.size());
    frames.push_back(frame);
  }
  EXPECT_EQ(link_->Transmit(frames), 64u);
  EXPECT_EQ(frames[0]->refs, 2);
  EXPECT_EQ(frames[0]->tx_pending, 1);
  EXPECT_EQ(frames[64]->refs, 1);
  EXPECT_EQ(link_->counters().tx_ring_full, 36u);
  EXPECT_EQ(link_->counters().tx_outstanding, 64u);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (link_->counters().tx_outstanding > 0 && std::chrono::steady_clock::now() < deadline) {
    link_->Doorbell();
    link_->ReapCompletions();
  }
  EXPECT_EQ(link_->counters().tx_completed, 64u);
  EXPECT_EQ(frames[0]->refs, 1);
  EXPECT_EQ(frames[0]->tx_pending, 0);
  EXPECT_EQ(link_->Transmit(std::span(frames).subspan(64)), 36u);
  // Never rung for: closing sends them, and gives them back.
  for (Frame* frame : frames) Unref(frame);
}

TEST_F(XdpLinkTest, KeepsAReserveAndRecoversWhenFramesComeBack) {
  OpenLink({.fill_size = 64, .tx_reserve = 16}, AttachMode::kAuto, 128);
  // All but the reserve end up with us, one by one; the rest is dropped by the kernel and counted.
  std::vector<Frame*> held;
  for (uint32_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(peer_->Send(Packet(100, i)));
    Frame* frame = nullptr;
    for (int spins = 0; spins < 200 && frame == nullptr; ++spins) {
      if (link_->Poll({&frame, 1}) == 0) std::this_thread::yield();
    }
    if (frame != nullptr) held.push_back(frame);
  }
  EXPECT_EQ(held.size(), 128u - 16u);
  EXPECT_EQ(pool_->free_count(), 16u);
  EXPECT_GT(link_->counters().fill_starved, 0u);
  for (Frame* frame : held) Unref(frame);
  Frame* none[1];
  EXPECT_EQ(link_->Poll(none), 0u);  // refills
  Reflect(64, 300);
}

// Fill shrinks while less of it is enough, and grows again before it runs dry.
TEST_F(XdpLinkTest, FillIsKeptNoDeeperThanItIsUsed) {
  OpenLink({.rx_size = 1024, .fill_size = 1024}, AttachMode::kAuto, 4096);
  EXPECT_EQ(link_->counters().fill_depth, 1024u);
  Reflect(2 * Umem::kCalmFrames + 1000, 64);
  EXPECT_EQ(link_->counters().fill_depth, Umem::kLeastFillDepth);
  for (uint32_t i = 0; i < Umem::kLeastFillDepth - 8; ++i) ASSERT_TRUE(peer_->Send(Packet(100, i)));
  size_t taken = 0;
  for (int spins = 0; spins < 100'000 && taken < Umem::kLeastFillDepth - 8; ++spins) {
    Frame* burst[XdpLink::kBurst];
    const size_t n = link_->Poll(burst);
    for (size_t i = 0; i < n; ++i) Unref(burst[i]);
    taken += n;
  }
  EXPECT_EQ(taken, Umem::kLeastFillDepth - 8) << "none was lost";
  EXPECT_EQ(link_->counters().fill_depth, 2 * Umem::kLeastFillDepth);
}

TEST_F(XdpLinkTest, OpensAgainRightAfterClosing) {
  for (int i = 0; i < 5; ++i) {
    OpenLink();
    if (HasFatalFailure()) return;
    Reflect(4, 100);
    CloseLink();
    EXPECT_EQ(AttachedProgram(), 0u);
  }
}

TEST_F(XdpLinkTest, WrongInterface) {
  auto program = SteerProgram::Attach({.interface = "nosuch0"});
  EXPECT_EQ(program.status().message(), "no interface named nosuch0: 'ip link' lists them");
  EXPECT_EQ(SteerProgram::Attach({.interface = "a name that is much too long"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(SteerProgram::Attach({.interface = ""}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(XdpLinkTest, InterfaceThatIsDown) {
  ASSERT_TRUE(testing_support::RunCommand("ip link set weir0 down").ok());
  auto program = SteerProgram::Attach({.interface = kDevice});
  EXPECT_EQ(program.status().message(), "interface weir0 is down: 'ip link set weir0 up'");
  EXPECT_EQ(AttachedProgram(), 0u);
}

TEST_F(XdpLinkTest, SecondProgramNamesTheFirst) {
  OpenLink();
  const uint32_t id = AttachedProgram();
  ASSERT_NE(id, 0u);
  for (const AttachMode mode : {AttachMode::kAuto, AttachMode::kNative, AttachMode::kGeneric}) {
    auto second = SteerProgram::Attach({.interface = kDevice, .attach = mode});
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(second.status().message()),
                AllOf(HasSubstr("has another XDP program " + std::to_string(id) + " (steer)"),
                      HasSubstr("ip link set dev weir0 xdp off")));
  }
  EXPECT_EQ(AttachedProgram(), id);
  Reflect(4, 100);  // the first works on
}

TEST_F(XdpLinkTest, QueueSocketAndZeroCopyThatCannotBe) {
  OpenLink();
  auto pool = FramePool::Create({.frame_size = 2048, .frames = 1024});
  ASSERT_TRUE(pool.ok());
  auto link = XdpLink::Create({.queue = 7}, *program_, **pool);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("interface weir0 has no queue 7: it has 1"));
  link = XdpLink::Create({}, *program_, **pool);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kAlreadyExists) << link.status();
  link = XdpLink::Create({.rx_size = 100}, *program_, **pool);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kInvalidArgument);
  link_.reset();
  link = XdpLink::Create({.zero_copy = ZeroCopy::kOn}, *program_, **pool);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kUnimplemented) << link.status();
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("--zero_copy=auto"));
  EXPECT_EQ((*pool)->free_count(), (*pool)->size());
}

TEST_F(XdpLinkTest, WithoutPrivilegesSaysWhatIsNeeded) {
  const int code = InChild([] {
    constexpr uid_t kNobody = 65534;
    if (setgroups(0, nullptr) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) return 2;
    auto program = SteerProgram::Attach({.interface = kDevice});
    if (program.ok() || program.status().code() != absl::StatusCode::kPermissionDenied) return 3;
    return program.status().message().find("needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; or use "
                                           "--stack=kernel") == absl::string_view::npos ? 4 : 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(AttachedProgram(), 0u);
}

TEST_F(XdpLinkTest, KilledProcessLeavesNothing) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    OpenLink();
    const char byte = link_ != nullptr ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_NE(AttachedProgram(), 0u);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  // The link's last descriptor goes with the process; the kernel finishes in a work queue.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (AttachedProgram() != 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(AttachedProgram(), 0u);
  OpenLink();  // and the queue is free again
  Reflect(4, 100);
}

TEST_F(XdpLinkTest, BadVlansAreRefused) {
  for (const std::vector<uint16_t>& vlans : std::vector<std::vector<uint16_t>>{{0}, {4095}, {1, 2, 3}}) {
    auto program = SteerProgram::Attach({.interface = kDevice, .vlans = vlans});
    EXPECT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace weir::xdp
