// lossy_bridge: carries frames between two interfaces, and loses, doubles and delays some of them by seed: the bad cable
// of lossy_test.py. With --largest also a black hole for larger frames. Runs until SIGTERM, then prints what it did.
//
//   lossy_bridge --left=left0 --right=right0 --loss=20 --duplicate=10 --overtake=20 --delay_us=500 --seed=1
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <queue>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "runtime/base/check.h"
#include "runtime/base/time.h"
#include "runtime/base/unique_fd.h"

ABSL_FLAG(std::string, left, "", "an interface");
ABSL_FLAG(std::string, right, "", "another one");
ABSL_FLAG(uint32_t, loss, 0, "per mille of the frames that are lost");
ABSL_FLAG(uint32_t, duplicate, 0, "per mille of the frames that arrive twice");
ABSL_FLAG(uint32_t, overtake, 0, "per mille of the frames that others overtake");
ABSL_FLAG(uint32_t, delay_us, 0, "delay of every frame, in microseconds; an overtaken one has up to four times that");
ABSL_FLAG(uint32_t, largest, 0, "bytes of the largest frame that passes, the others vanish silently; 0: all pass");
ABSL_FLAG(uint64_t, seed, 1, "of what is drawn");

namespace {

using weir::Nanos;

// Offloads are off at both ends: frames are no larger than an MTU of 9000 makes them.
constexpr size_t kLargestFrame = 9216;
// A device that takes no more for a moment loses the frame, as any would.
constexpr size_t kLongestQueue = 100'000;

volatile sig_atomic_t stopped = 0;

struct Delayed {
  Nanos at_ns;
  uint64_t order;
  int to;
  std::vector<char> frame;
  bool operator<(const Delayed& other) const {
    return at_ns != other.at_ns ? at_ns > other.at_ns : order > other.order;
  }
};

class Bridge {
 public:
  Bridge() : random_(absl::GetFlag(FLAGS_seed)) {
    ends_[0] = Open(absl::GetFlag(FLAGS_left));
    ends_[1] = Open(absl::GetFlag(FLAGS_right));
  }

  void Run() {
    while (stopped == 0) {
      std::array<pollfd, 2> waits{};
      for (size_t i = 0; i < 2; ++i) waits[i] = {.fd = ends_[i].get(), .events = POLLIN, .revents = 0};
      const Nanos wait_ns = queue_.empty() ? weir::kSecond
                                           : std::max<Nanos>(0, queue_.top().at_ns - weir::MonotonicNow());
      const timespec timeout{.tv_sec = wait_ns / weir::kSecond, .tv_nsec = wait_ns % weir::kSecond};
      ppoll(waits.data(), waits.size(), &timeout, nullptr);
      for (int i = 0; i < 2; ++i) {
        if (waits[static_cast<size_t>(i)].revents != 0) TakeBurst(i);
      }
      Flush();
    }
  }

  void Report() const {
    std::printf("lossy_bridge: %llu frames, %llu lost, %llu doubled, %llu overtaken, %llu refused, %llu too large\n", seen_,
                lost_, doubled_, overtaken_, refused_, too_large_);
  }

 private:
  using Count = unsigned long long;

  static weir::runtime::UniqueFd Open(const std::string& name) {
    weir::runtime::UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    WEIR_CHECK(fd.valid());
    const int bytes = 64 << 20;
    WEIR_CHECK(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0);
    const int on = 1;
    WEIR_CHECK(setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) == 0);
    sockaddr_ll address = {};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
    WEIR_CHECK(address.sll_ifindex != 0);
    WEIR_CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    // All that passes, whomever it is for.
    packet_mreq promiscuous = {};
    promiscuous.mr_ifindex = address.sll_ifindex;
    promiscuous.mr_type = PACKET_MR_PROMISC;
    WEIR_CHECK(setsockopt(fd.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0);
    return fd;
  }

  bool Chance(uint32_t permille) { return random_() % 1000 < permille; }

  void TakeBurst(int from) {
    std::array<char, kLargestFrame> buffer;
    for (int i = 0; i < 64; ++i) {
      const ssize_t n = recv(ends_[from].get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      ++seen_;
      if (const uint32_t largest = absl::GetFlag(FLAGS_largest); largest != 0 && static_cast<size_t>(n) > largest) {
        ++too_large_;
        continue;
      }
      if (Chance(absl::GetFlag(FLAGS_loss))) {
        ++lost_;
        continue;
      }
      Pass(1 - from, {buffer.data(), buffer.data() + n});
      if (Chance(absl::GetFlag(FLAGS_duplicate))) {
        ++doubled_;
        Pass(1 - from, {buffer.data(), buffer.data() + n});
      }
    }
  }

  void Pass(int to, std::vector<char> frame) {
    const Nanos delay_ns = Nanos{absl::GetFlag(FLAGS_delay_us)} * weir::kMicrosecond;
    Nanos at_ns = weir::MonotonicNow() + delay_ns;
    if (Chance(absl::GetFlag(FLAGS_overtake))) {
      ++overtaken_;
      at_ns += static_cast<Nanos>(random_() % static_cast<uint64_t>(3 * delay_ns + weir::kMillisecond));
    }
    if (queue_.size() >= kLongestQueue) {
      ++refused_;
      return;
    }
    queue_.push({at_ns, order_++, to, std::move(frame)});
  }

  void Flush() {
    const Nanos now_ns = weir::MonotonicNow();
    for (; !queue_.empty() && queue_.top().at_ns <= now_ns; queue_.pop()) {
      const Delayed& next = queue_.top();
      refused_ += send(ends_[next.to].get(), next.frame.data(), next.frame.size(), 0) < 0;
    }
  }

  weir::runtime::UniqueFd ends_[2];
  std::mt19937_64 random_;
  std::priority_queue<Delayed> queue_;
  uint64_t order_ = 0;
  Count seen_ = 0, lost_ = 0, doubled_ = 0, overtaken_ = 0, refused_ = 0, too_large_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  signal(SIGTERM, [](int) { stopped = 1; });
  Bridge bridge;
  std::printf("weir: ready: lossy_bridge\n");
  std::fflush(stdout);
  bridge.Run();
  bridge.Report();
  return 0;
}
