// App: a program at one end of a connection. It calls what the socket layer calls, when the socket layer would: on the
// socket's events, and when a pause of its own is over; so a wake-up that never comes stops it for good.
#ifndef TESTS_SIM_APP_H_
#define TESTS_SIM_APP_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "netstack/tcp/tcp_sock.h"
#include "runtime/buffer/frame_chain.h"
#include "tests/sim/params.h"
#include "tests/sim/verdict.h"
#include "tests/support/inet_test_host.h"

namespace weir::sim {

class App {
 public:
  struct Role {
    AppParams mine;
    AppParams peer;
    uint64_t out_pattern = 0, in_pattern = 0;
    uint64_t seed = 0;
    bool may_fail = false;  // one of the two aborts
    Nanos shut_from_ns = 0;
    std::string name;
  };
  App(testing_support::InetTestHost& host, const Role& role, Verdict& verdict);

  void Attach(netstack::TcpSock& sock);
  // When it will act by itself; kNever: it waits for an event, or is done.
  Nanos wake_ns() const { return done_ ? kNever : wake_ns_; }
  void Run();

  bool attached() const { return sock_ != nullptr || done_; }
  bool done() const { return done_; }
  // It aborted a connection before the handshake was done, so perhaps the peer never heard of it (RFC 7413).
  bool aborted_early() const { return aborted_early_; }
  Nanos done_ns() const { return done_ns_; }
  // When the first half of the peer's bytes had come.
  Nanos half_ns() const { return half_ns_; }
  uint64_t received() const { return received_; }
  netstack::TcpSock* sock() { return sock_; }
  std::string ToString() const;

 private:
  // Of those that only an abort of the peer, whose RST was lost, leaves waiting: who receives never finds out.
  static constexpr Nanos kPatience = 400 * kSecond;
  // In all. A window that stays closed for longer than tcp_orphan_retries probes, which is some 50 s, ends a connection
  // that the peer's program has closed, rightly.
  static constexpr Nanos kMaxPaused = 20 * kSecond;

  static void OnReady(netstack::ReadySock& sock, uint8_t events);
  uint64_t Below(uint64_t n) { return random_() % n; }
  Nanos now() const { return host_.now(); }
  void Fail(const std::string& what);
  bool MaybePause(Nanos& until_ns);

  void Read();
  size_t ReadOnce();
  void Took(testing_support::View bytes);
  void WaitForData();
  void Write();
  bool WriteOnce();
  bool WriteFrames(size_t n);
  void SeeEnd();
  void MaybeEnd();
  void Close();

  testing_support::InetTestHost& host_;
  const Role role_;
  Verdict& verdict_;
  std::mt19937_64 random_;
  netstack::TcpSock* sock_ = nullptr;
  testing_support::Bytes buffer_;
  runtime::FrameChain held_;
  netstack::TcpReader reader_;
  iovec direct_{};
  bool direct_waits_ = false;
  uint64_t sent_ = 0, received_ = 0;
  bool shut_ = false, eof_ = false, done_ = false, aborted_early_ = false;
  Nanos paused_ns_ = 0;
  Nanos read_paused_until_ns_ = 0, write_paused_until_ns_ = 0, wake_ns_ = kNever, done_ns_ = 0, attached_ns_ = 0,
        half_ns_ = 0;
};

}  // namespace weir::sim

#endif  // TESTS_SIM_APP_H_
