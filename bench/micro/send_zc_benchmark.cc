// What a TCP send costs its sender, copied by the kernel (IORING_OP_SEND, SENDMSG) and by reference (SEND_ZC,
// SENDMSG_ZC), by size: the table behind KernelStream::kLeastZeroCopy. Run it as root and alone on the machine:
//
//   send_zc_benchmark
//
// Three paths, all in namespaces of its own, which end with it:
//   loopback, veth   to a reader on another thread. The receiving side is the same kernel's, which copies what was sent by
//                    reference when it takes it in, so these show the cost of a send by reference that is in vain.
//   queued           to a peer that does not read: what is sent stays in the sender's queue until the connection is
//                    dropped. Nothing is copied then, as with a card that gathers; what the path below costs (segments,
//                    headers, ACKs) is not in it and is the same for both.
//
// Figures are nanoseconds of the sender's thread (user and system) for each KiB, and which part of the
// sends the kernel reported as copied. The memory sent from is 32 MiB that is gone through in order: mostly not in cache.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/time.h"
#include "runtime/base/unique_fd.h"
#include "runtime/io/uring.h"

namespace weir {
namespace {

using runtime::UniqueFd;
using runtime::Uring;

constexpr size_t kKiB = 1024;
constexpr size_t kMemory = 32 * kKiB * kKiB;
constexpr size_t kPiece = 2 * kKiB;               // a frame
constexpr size_t kQueuedBytes = 16 * kKiB * kKiB;  // into one queue
constexpr size_t kStreamBytes = 64 * kKiB * kKiB;
constexpr int kRounds = 3;
constexpr char kVethSender[] = "10.99.0.1";
constexpr char kVethReader[] = "10.99.0.2";

struct Cost {
  double ns_per_kib = 0;
  double copied = 0;  // part of the sends
};

void Check(bool ok, const std::string& what) {
  if (ok) return;
  std::perror(what.c_str());
  std::exit(1);
}

void Command(const std::string& command) { Check(std::system(command.c_str()) == 0, command); }

sockaddr_in Address(const char* ip, uint16_t port) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, ip, &address.sin_addr);
  return address;
}

// Not getrusage(2): on kernels that account by the tick it gives whole ticks, 4 ms.
int64_t ThreadCpuNs() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * kSecond + time.tv_nsec;
}

// A reader on a thread of its own, in a namespace of its own when there is a veth to put there. Of each connection it
// reads everything, or, when told so, nothing until the sender drops it.
class Reader {
 public:
  Reader(const char* ip, bool own_namespace) : thread_([this, ip, own_namespace] { Run(ip, own_namespace); }) {
    while (port_ == 0) std::this_thread::yield();
  }
  ~Reader() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  uint16_t port() const { return port_; }
  std::atomic<bool> reads{true};

 private:
  void Run(const char* ip, bool own_namespace) {
    if (own_namespace) {
      Check(unshare(CLONE_NEWNET) == 0, "unshare");
      // The thread's id serves as the process id that `ip` wants: the kernel looks up any task.
      Command(absl::StrCat("nsenter --net=/proc/", getpid(), "/ns/net ip link add zc0 type veth peer name zc1 netns ",
                           gettid()));
      Command(absl::StrCat("ip address add ", kVethReader, "/24 dev zc1 && ip link set zc1 up"));
      Command(absl::StrCat("nsenter --net=/proc/", getpid(), "/ns/net sh -c 'ip address add ", kVethSender,
                           "/24 dev zc0 && ip link set zc0 up'"));
    }
    sockaddr_in address = Address(ip, 0);
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t length = sizeof address;
    Check(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0, "bind");
    Check(listen(listener_.get(), 1) == 0, "listen");
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    std::vector<char> buffer(256 * kKiB);
    for (;;) {
      const UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd.valid()) return;
      while (reads && read(fd.get(), buffer.data(), buffer.size()) > 0) {
      }
      // Not 0 before the connection is dropped: a peek does not open the window.
      if (!reads) recv(fd.get(), buffer.data(), buffer.size(), MSG_PEEK | MSG_WAITALL);
    }
  }

  UniqueFd listener_;
  std::atomic<uint16_t> port_{0};
  std::thread thread_;
};

// Sends of one kind over one ring, with what has to be known of each counted.
class Sender {
 public:
  Sender() : uring_(*Uring::Create(4096)) {
    memory_ = static_cast<std::byte*>(
        mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    Check(memory_ != MAP_FAILED, "mmap");
    std::memset(memory_, 'x', kMemory);
  }
  ~Sender() { munmap(memory_, kMemory); }
  Sender(const Sender&) = delete;

  // Cost of sends of `bytes` each, in one piece or in kPiece pieces, to where `peer` reads or only accepts.
  Cost Measure(const sockaddr_in& peer, size_t bytes, bool gather, bool zero_copy, bool queued) {
    fd_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (queued) {
      const int room = 4 * static_cast<int>(kQueuedBytes);
      Check(setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) == 0, "SO_SNDBUFFORCE");
    }
    Check(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) == 0, "connect");
    notified_ = copied_ = pending_ = sends_ = 0;
    const size_t total = queued ? kQueuedBytes : kStreamBytes;
    // Until the windows have grown.
    if (!queued) {
      for (size_t sent = 0; sent < total / 4; sent += bytes) SendOne(bytes, gather, zero_copy, queued);
    }
    const int64_t before = ThreadCpuNs();
    for (size_t sent = 0; sent < total; sent += bytes) SendOne(bytes, gather, zero_copy, queued);
    if (queued) {
      sockaddr none{.sa_family = AF_UNSPEC};
      Check(connect(fd_.get(), &none, sizeof none) == 0, "disconnect");
    }
    while (pending_ > 0) Take();
    const double ns = static_cast<double>(ThreadCpuNs() - before);
    fd_.Reset();
    return {ns / (static_cast<double>(total) / kKiB),
            notified_ == 0 ? 1.0 : static_cast<double>(copied_) / static_cast<double>(notified_)};
  }

 private:
  // Returns when the send is done, and with a reader also when its memory is free again.
  void SendOne(size_t bytes, bool gather, bool zero_copy, bool queued) {
    const size_t stride = gather ? 2 * kPiece : kPiece;  // a gather's pieces do not lie side by side
    const size_t span = bytes / kPiece * stride;
    if (at_ + span > kMemory) at_ = 0;
    io_uring_sqe* sqe = uring_->GetSqe();
    if (gather) {
      pieces_.clear();
      for (size_t i = 0; i < bytes / kPiece; ++i) pieces_.push_back({memory_ + at_ + i * stride, kPiece});
      message_ = {.msg_iov = pieces_.data(), .msg_iovlen = pieces_.size()};
      io_uring_prep_sendmsg(sqe, fd_.get(), &message_, MSG_NOSIGNAL | MSG_WAITALL);
      if (zero_copy) sqe->opcode = IORING_OP_SENDMSG_ZC;
    } else {
      io_uring_prep_send(sqe, fd_.get(), memory_ + at_, bytes, MSG_NOSIGNAL | MSG_WAITALL);
      if (zero_copy) sqe->opcode = IORING_OP_SEND_ZC;
    }
    if (zero_copy) sqe->ioprio = IORING_SEND_ZC_REPORT_USAGE;
    sqe->user_data = bytes;
    at_ += span;
    ++pending_;
    const size_t sends = sends_ + 1;
    while (sends_ < sends || (!queued && pending_ > 0)) Take();
  }

  void Take() {
    if (!uring_->has_completions()) uring_->Wait(kNever);
    while (uring_->has_completions()) {
      const io_uring_cqe cqe = uring_->Pop();
      if ((cqe.flags & IORING_CQE_F_NOTIF) != 0) {
        ++notified_;
        copied_ += (static_cast<uint32_t>(cqe.res) & IORING_NOTIF_USAGE_ZC_COPIED) != 0;
      } else {
        errno = cqe.res < 0 ? -cqe.res : 0;
        Check(cqe.res == static_cast<int32_t>(cqe.user_data), "send");
        ++sends_;
      }
      if ((cqe.flags & IORING_CQE_F_MORE) == 0) --pending_;
    }
  }

  std::unique_ptr<Uring> uring_;
  std::byte* memory_;
  UniqueFd fd_;
  size_t at_ = 0;
  std::vector<iovec> pieces_;
  msghdr message_{};
  size_t pending_ = 0;  // sends with a completion to come
  size_t sends_ = 0;
  size_t notified_ = 0;
  size_t copied_ = 0;
};

// The least of some rounds, in which the two kinds take turns.
void Row(Sender& sender, const sockaddr_in& peer, size_t bytes, bool gather, bool queued) {
  Cost best[2] = {{1e9, 0}, {1e9, 0}};
  for (int round = 0; round < kRounds; ++round) {
    for (bool zero_copy : {false, true}) {
      const Cost cost = sender.Measure(peer, bytes, gather, zero_copy, queued);
      if (cost.ns_per_kib < best[zero_copy].ns_per_kib) best[zero_copy] = cost;
    }
  }
  std::printf(" %6.0f %6.0f %5.2f %3.0f%% |", best[0].ns_per_kib, best[1].ns_per_kib,
              best[1].ns_per_kib / best[0].ns_per_kib, 100 * best[1].copied);
  std::fflush(stdout);
}

void Run() {
  Check(unshare(CLONE_NEWNET) == 0, "send_zc_benchmark needs root for its namespaces");
  Command("ip link set lo up");
  Reader loopback("127.0.0.1", false);
  Reader veth(kVethReader, true);
  Sender sender;
  std::printf("ns per KiB: send, send_zc, their ratio, copied by the kernel\n");
  for (bool gather : {false, true}) {
    std::printf("%-9s|%-26s|%-26s|%-26s|\n", gather ? "2K pieces" : "one piece", " loopback", " veth", " queued");
    for (size_t bytes = 4 * kKiB; bytes <= 1024 * kKiB; bytes *= 2) {
      std::printf("%5zu KiB|", bytes / kKiB);
      const sockaddr_in near = Address("127.0.0.1", loopback.port());
      Row(sender, near, bytes, gather, /*queued=*/false);
      Row(sender, Address(kVethReader, veth.port()), bytes, gather, /*queued=*/false);
      loopback.reads = false;
      Row(sender, near, bytes, gather, /*queued=*/true);
      loopback.reads = true;
      std::printf("\n");
    }
  }
}

}  // namespace
}  // namespace weir

int main() {
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  weir::Run();
}
