// XdpLinkTest: an XdpLink and its steering program at one end of a veth pair, and a packet socket at the other.
#ifndef TESTS_XDP_XDP_LINK_FIXTURE_H_
#define TESTS_XDP_XDP_LINK_FIXTURE_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/buffer/frame_pool.h"
#include "tests/support/packet_socket.h"
#include "tests/support/veth.h"
#include "xdp/steer_program.h"
#include "xdp/xdp_link.h"

namespace weir::xdp {

using runtime::Frame;
using runtime::FramePool;
using testing_support::NamespaceScope;
using testing_support::PacketSocket;
using testing_support::VethPair;
using Bytes = std::vector<uint8_t>;

inline constexpr char kDevice[] = "weir0";
inline constexpr auto kPatience = std::chrono::seconds(5);

// IPv4 from 10.0.0.1 to 10.0.0.2, `size` bytes in all, its payload told apart by `number`.
inline Bytes Packet(size_t size, uint32_t number) {
  Bytes frame = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0};
  frame.insert(frame.end(), {static_cast<uint8_t>((size - 14) >> 8), static_cast<uint8_t>(size - 14)});
  frame.insert(frame.end(), {0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2});
  while (frame.size() < size) frame.push_back(static_cast<uint8_t>(number * 31 + frame.size()));
  std::memcpy(&frame[34], &number, sizeof number);
  return frame;
}

inline Bytes Reflected(Bytes frame) {
  std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
  return frame;
}

inline Bytes Contents(const Frame& frame) {
  const uint8_t* data = reinterpret_cast<const uint8_t*>(frame.data);
  return Bytes(data, data + frame.len);
}

class XdpLinkTest : public testing::Test {
 protected:
  explicit XdpLinkTest(int mtu = 1500) : mtu_(mtu) {}

  void SetUp() override {
    if (const std::string reason = VethPair::Available(); !reason.empty()) {
      GTEST_SKIP() << "SKIPPED: " << reason;
    }
    auto pair = VethPair::Create({.mtu = mtu_});
    ASSERT_TRUE(pair.ok()) << pair.status();
    pair_ = *std::move(pair);
    {
      const NamespaceScope scope(pair_->client());
      peer_.emplace(kDevice);
    }
    in_server_.emplace(pair_->server());
  }

  // In this order: the link gives its frames back before the pool is looked at.
  void TearDown() override {
    CloseLink();
    in_server_.reset();
  }

  void OpenLink(XdpLink::Options options = {}, AttachMode attach = AttachMode::kAuto, uint32_t frames = 8192) {
    auto pool = FramePool::Create({.frame_size = 2048, .frames = frames});
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    auto program = SteerProgram::Attach({.interface = kDevice, .attach = attach});
    ASSERT_TRUE(program.ok()) << program.status();
    program_ = *std::move(program);
    ASSERT_TRUE(program_->AddAddress4(inet_addr("10.0.0.2")).ok());
    auto link = XdpLink::Create(options, *program_, *pool_);
    ASSERT_TRUE(link.ok()) << link.status();
    link_ = *std::move(link);
  }

  // Closing accounts for every frame.
  void CloseLink() {
    link_.reset();
    if (pool_ != nullptr) {
      EXPECT_EQ(pool_->free_count(), pool_->size());
    }
    pool_.reset();
    program_.reset();
  }

  // The next frames, `count` of them unless time runs out; the references are the caller's.
  std::vector<Frame*> Take(size_t count) {
    std::vector<Frame*> taken;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (taken.size() < count && std::chrono::steady_clock::now() < deadline) {
      Frame* burst[XdpLink::kBurst];
      const size_t n = link_->Poll(std::span(burst).first(std::min(count - taken.size(), XdpLink::kBurst)));
      taken.insert(taken.end(), burst, burst + n);
      if (n == 0) std::this_thread::yield();
    }
    EXPECT_EQ(taken.size(), count);
    return taken;
  }

  // Sends `count` frames back and forth; checks order and every byte both ways.
  void Reflect(uint32_t count, size_t size) {
    for (uint32_t done = 0; done < count;) {
      const uint32_t n = std::min<uint32_t>(32, count - done);
      for (uint32_t i = 0; i < n; ++i) ASSERT_TRUE(peer_->Send(Packet(size, done + i)));
      const std::vector<Frame*> frames = Take(n);
      ASSERT_EQ(frames.size(), n);
      for (uint32_t i = 0; i < n; ++i) {
        EXPECT_EQ(Contents(*frames[i]), Packet(size, done + i));
        EXPECT_EQ(frames[i]->refs, 1);
        std::swap_ranges(frames[i]->data, frames[i]->data + 6, frames[i]->data + 6);
      }
      ASSERT_EQ(link_->Transmit(frames), n);
      link_->Doorbell();
      for (Frame* frame : frames) Unref(frame);
      for (uint32_t i = 0; i < n; ++i) {
        const std::optional<Bytes> back = peer_->Receive(5000);
        ASSERT_TRUE(back.has_value()) << "frame " << done + i;
        ASSERT_EQ(*back, Reflected(Packet(size, done + i)));
      }
      link_->ReapCompletions();
      done += n;
    }
  }

  const int mtu_;
  std::unique_ptr<VethPair> pair_;
  std::optional<PacketSocket> peer_;
  std::optional<NamespaceScope> in_server_;
  FramePool::Ptr pool_;
  std::unique_ptr<SteerProgram> program_;
  std::unique_ptr<XdpLink> link_;
};

}  // namespace weir::xdp

#endif  // TESTS_XDP_XDP_LINK_FIXTURE_H_
