// Soak: two hosts with weir's stack on a cable in memory, with connections that come, do something by chance, and go: fast
// and slow readers, programs that keep what they got, aborts, resets, and a pool from which frames are taken away. It runs
// for real minutes in virtual time, and ends with every frame accounted for. All that happens follows from the seed and
// from how many rounds were run.
#ifndef BENCH_SOAK_SOAK_H_
#define BENCH_SOAK_SOAK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "netstack/ip/inet.h"
#include "netstack/link/memory_link.h"
#include "netstack/socket/inet_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "netstack/socket/udp_socket.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/scheduler.h"
#include "runtime/core/sleep.h"

namespace weir::bench {

class Soak {
 public:
  struct Counts {
    uint64_t rounds = 0;
    uint64_t connections = 0;
    uint64_t whole = 0;   // both streams arrived to their ends
    uint64_t broken = 0;  // by an abort or a reset, as it was meant
    uint64_t bytes = 0;   // received and compared
    uint64_t datagrams = 0;
    uint32_t most_held = 0;    // frames in the hands of the server's programs, of both pools
    uint32_t fewest_free = ~0u;  // of the server's pool
  };

  explicit Soak(uint64_t seed);
  ~Soak();

  // Lets about a second of virtual time pass. False: something went wrong, and trouble() says what.
  bool Round();
  // Opens nothing more, lets everything come to its end, and counts the frames.
  bool Finish();
  const Counts& counts() const { return counts_; }
  const std::string& trouble() const { return trouble_; }
  Nanos virtual_ns() const { return scheduler_.now_ns(); }
  uint64_t copied_out_bytes() const { return server_.inet.ip.copied_out_bytes; }

 private:
  struct Host {
    Host(uint8_t number, uint32_t frames, runtime::Scheduler& scheduler);
    // Frames that are not free, in the pool and in the heap; and those that programs have.
    uint32_t frames_out() const;
    uint32_t held() const;

    runtime::FramePool::Ptr pool;
    netstack::Inet inet;
    netstack::InetStack stack;
  };
  // What a program does with what comes in.
  enum class Reader { kFast, kSlow, kKeeps, kPieces, kCopies, kEchoes, kResets, kCloses };
  // One direction of a connection.
  struct Flow {
    uint64_t bytes = 0;
    uint8_t key = 0;  // of the pattern
    uint64_t received = 0;
  };
  struct Connection {
    Flow up, down;
    Reader client = Reader::kFast, server = Reader::kFast;
    bool broken = false;  // one of its programs has broken it off
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  uint64_t Below(uint64_t n) { return random_() % n; }
  runtime::SleepOperation Pause(uint64_t most_us);
  void Turn();
  bool RunUntil(const std::function<bool()>& done, Nanos at_most_ns);
  void Fail(const std::string& what);

  ConnectionPtr NewConnection();
  Task<void> Open();
  Task<void> Accept();
  Task<void> Client(ConnectionPtr connection);
  Task<void> Server(TcpStream stream, ConnectionPtr connection);
  Task<absl::Status> Side(TcpStream& stream, Connection& connection, bool client);
  Task<absl::Status> Echo(TcpStream& stream, Connection& connection);
  Task<absl::Status> Send(TcpStream& stream, const Flow& out);
  Task<absl::Status> Read(TcpStream& stream, Connection& connection, Flow& in, Reader reader);
  Task<absl::Status> Copy(TcpStream& stream, Connection& connection, Flow& in);
  void Keep(std::vector<RecvBuffer>& kept, RecvBuffer got, Reader reader);
  Task<void> GiveBackLater(std::vector<RecvBuffer> kept);
  void Take(Flow& in, std::span<const iovec> got);
  absl::Status End(const Connection& connection, const Flow& in);
  void SideEnded(const Connection& connection, const absl::Status& status);

  Task<void> TakeFramesAway(Host& host);
  Task<void> SendDatagrams();
  Task<void> KeepDatagrams();

  std::mt19937_64 random_;
  Counts counts_;
  std::string trouble_;
  runtime::Scheduler scheduler_{kSecond};
  Host server_;
  Host client_;
  netstack::MemoryLink link_;
  TcpListener listener_;
  UdpSocket udp_server_, udp_client_;
  std::map<uint16_t, ConnectionPtr> opened_;  // by the client's port, until the server has accepted it, if ever
  bool stopping_ = false;
  size_t sides_ = 0;
  std::unique_ptr<AsyncScope> scope_;
};

}  // namespace weir::bench

#endif  // BENCH_SOAK_SOAK_H_
