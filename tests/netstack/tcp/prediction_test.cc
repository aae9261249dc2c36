// Header prediction is only a shortcut (DESIGN §4), and so is TcpRcvPlain: the same input, sensible or not, gives the same
// state and the same output without them. A function at PRE_ROUTING that accepts everything keeps a host off the second. WEIR_TEST_SEED=17 begins with seed 17.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/scoreboard_check.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Seq;
using netstack::TcpSock;

std::string State(TcpSock& sock) {
  const auto& snd = sock.snd;
  const auto& rcv = sock.rcv;
  const auto from_iss = [&](Seq seq) { return seq - snd.iss; };
  const auto from_irs = [&](Seq seq) { return seq - rcv.irs; };
  return absl::StrCat(
      "state ", static_cast<int>(sock.state), " error ", sock.error, " una ", from_iss(snd.una), " nxt ",
      from_iss(snd.nxt), " write_seq ", from_iss(snd.write_seq), " wnd ", snd.wnd, " wl ",
      from_irs(snd.wl1), "/", from_iss(snd.wl2), " rcv ", from_irs(rcv.nxt), "+", rcv.wnd, " wup ", from_irs(rcv.wup),
      " queued ", rcv.queued, "/", sock.receive_queue.count(), "/", netstack::TcpOfoCount(sock), "/",
      sock.send_queue.count(), " mss ", rcv.mss) +
      absl::StrCat(" cwnd ", sock.congestion.cwnd(), " ssthresh ", sock.congestion.ssthresh(), " srtt ",
                   Nanos{sock.rtt.srtt_ns}, " rttvar ", Nanos{sock.rtt.rttvar_ns}, " rto ", Nanos{sock.rtt.rto_ns}, " backoff ",
                   int{sock.backoff}, " retries ", int{sock.retries}, " dup ", int{sock.dup_acks}, " ack ",
                   sock.ack_now, sock.ack_delayed, int{sock.quick_acks}) +
      absl::StrCat(" ca ", static_cast<int>(sock.recovery.state), " out ", sock.board.sacked_out, "/",
                   sock.board.lost_out, "/", sock.board.retrans_out, " timer ", static_cast<int>(sock.timer_kind),
                   " ", sock.timer_ns, " delack ",
                   sock.delack_ns);
}

// One run: what was done, what came out, and the state after every step.
class Conversation {
 public:
  Conversation(uint64_t seed, bool shortcuts) : random_(seed), trace_(TraceOptions(seed, shortcuts)), shortcuts_(shortcuts) {
    if (!shortcuts) EXPECT_TRUE(hooks().Register(netstack::Hook::kPreRouting, 0, &Accept, nullptr));
    const bool quick = Below(2) == 0, sack = Below(2) == 0, timestamps = Below(2) == 0;
    if (Below(2) == 0) trace_.Establish({.quick = quick, .timestamps = timestamps, .sack = sack});
    else trace_.Establish({.wscale = 7, .quick = quick, .timestamps = timestamps, .sack = sack});
  }

  ~Conversation() {
    if (!shortcuts_) hooks().Unregister(netstack::Hook::kPreRouting, &Accept, nullptr);
  }

  std::vector<std::string> Steps(int n) {
    std::vector<std::string> log;
    for (int i = 0; i < n && !::testing::Test::HasFailure(); ++i) {
      log.push_back(Step());
      for (const std::string& line : trace_.Drain()) log.push_back("  out " + line);
      log.push_back("  " + State(trace_.sock()));
      EXPECT_EQ("", ScoreboardProblem(trace_.sock()));
    }
    return log;
  }
  const netstack::TcpCounters& counters() { return trace_.tcp().counters; }

 private:
  static netstack::Verdict Accept(void*, netstack::HookPacket&) { return netstack::Verdict::kAccept; }
  netstack::HookTable& hooks() { return trace_.host().inet().ip.hooks; }
  static TcpTrace::Options TraceOptions(uint64_t seed, bool prediction) {
    TcpTrace::Options options;
    options.host.tcp.prediction = prediction;
    options.host.tcp.receive_buffer = seed % 2 == 0 ? 6000 : 100000;
    options.peer_isn = seed % 3 == 0 ? 0xffffff00u : 1000;
    return options;
  }
  uint64_t Below(uint64_t n) { return random_() % n; }

  std::string Step() {
    TcpSock& sock = trace_.sock();
    switch (Below(10)) {
      case 0:
        ms_ += static_cast<double>(Below(300));
        return absl::StrCat("until ", ms_, ": ", absl::StrJoin(trace_.Drain(ms_), "; "));
      case 1: {
        const uint64_t unread = sock.rcv.queued;
        const uint64_t n = Below(2) == 0 ? unread : Below(unread + 1);
        trace_.Read(n);
        return absl::StrCat("read ", n);
      }
      case 2: {
        const bool open = !sock.send_shut && sock.error == 0;
        const uint64_t n = open && sock.send_queue.count() < 20 ? 1 + Below(4000) : 0;
        if (n > 0) trace_.Send(n);
        if (open && Below(60) == 0) trace_.Shutdown();
        return absl::StrCat("send ", n);
      }
      case 3: {
        // A train of segments in one burst, which may be cut short by what is wrong with one of them.
        std::string lines[4];
        int64_t seq = sock.rcv.nxt - sock.rcv.irs;
        for (std::string& line : lines) {
          line = Below(20) == 0 ? Segment(sock) : Next(sock, &seq);
        }
        trace_.InBurst(ms_, {lines[0], lines[1], lines[2], lines[3]});
        return absl::StrCat("in ", absl::StrJoin(lines, " + "), " -> ",
                            netstack::kDropReasonNames[static_cast<size_t>(trace_.last())]);
      }
      default: {
        const std::string line = Segment(sock);
        trace_.In(ms_, line);
        return absl::StrCat("in ", line, " -> ", netstack::kDropReasonNames[static_cast<size_t>(trace_.last())]);
      }
    }
  }

  // Data at `*seq`, which is then behind it.
  std::string Next(const TcpSock& sock, int64_t* seq) {
    const int64_t from = *seq;
    *seq += 1 + static_cast<int64_t>(Below(600));
    return absl::StrCat(Below(3) == 0 ? "PA " : "A ", from, ":", *seq, " ack ", sock.snd.nxt - sock.snd.iss, " win ",
                        window_);
  }

  // Mostly what comes next; sometimes off by something, or with other flags.
  std::string Segment(const TcpSock& sock) {
    int64_t seq = sock.rcv.nxt - sock.rcv.irs, ack = sock.snd.nxt - sock.snd.iss;
    if (Below(4) == 0) seq += static_cast<int64_t>(Below(3000)) - 1500;
    if (Below(4) == 0) ack -= static_cast<int64_t>(Below(3000));
    if (Below(50) == 0) ack += 1;
    const std::string extra = Below(40) == 0 ? std::string(1, "SRPF"[Below(4)]) : "";
    const uint64_t length = Below(3) == 0 ? 0 : Below(1461);
    if (Below(10) == 0) window_ = static_cast<uint32_t>(Below(2) == 0 ? 65535 : Below(65536));
    // Of resets and SYNs only those that do not end the run.
    if (extra == "R") seq += 70000000;
    seq = std::max<int64_t>(seq, 1);
    return absl::StrCat("A", extra, " ", seq, ":", seq + static_cast<int64_t>(length), " ack ", ack, " win ", window_,
                        Options(sock));
  }

  // Sometimes blocks of what is outstanding, or near it, and timestamps of before.
  std::string Options(const TcpSock& sock) {
    std::string options;
    if (sock.ts.ok && Below(12) == 0) options = absl::StrCat("ts ", ms_ - static_cast<double>(Below(4)), " ecr 1, ");
    if (Below(6) == 0) {
      const int64_t start = sock.snd.una - sock.snd.iss + static_cast<int64_t>(Below(4000)) - 1000;
      absl::StrAppend(&options, "sack ", start, ":", start + static_cast<int64_t>(Below(4000)));
    }
    return options.empty() ? "" : absl::StrCat(" <", options, ">");
  }

  std::mt19937_64 random_;
  TcpTrace trace_;
  const bool shortcuts_;
  double ms_ = 0;
  uint32_t window_ = 65535;
};

TEST(Prediction, ChangesNothing) {
  const char* text = std::getenv("WEIR_TEST_SEED");
  const uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  uint64_t predicted = 0, slow = 0, coalesced = 0;
  for (uint64_t seed = first; seed < first + 200; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Conversation with(seed, true), without(seed, false);
    const std::vector<std::string> a = with.Steps(300), b = without.Steps(300);
    if (a != b) {
      size_t at = 0;
      while (a[at] == b[at]) ++at;
      const size_t from = at < 8 ? 0 : at - 8;
      FAIL() << "from here on they differ:\n"
             << absl::StrJoin(a.data() + from, a.data() + at + 1, "\n")
             << "\nwithout prediction:\n" << b[at];
    }
    predicted += with.counters().predicted_data + with.counters().predicted_acks;
    slow += with.counters().slow_path;
    coalesced += with.counters().coalesced;
    EXPECT_EQ(0u, without.counters().predicted_data + without.counters().predicted_acks);
    if (::testing::Test::HasFailure()) return;
  }
  std::printf("seeds from %llu: %llu segments predicted, %llu of them in trains, %llu not\n",
              static_cast<unsigned long long>(first), static_cast<unsigned long long>(predicted),
              static_cast<unsigned long long>(coalesced), static_cast<unsigned long long>(slow));
  EXPECT_LT(1000u, predicted);
  EXPECT_LT(1000u, coalesced);
}

// In order and nothing else, the fast path takes everything; with timestamps and SACK agreed on, too.
TEST(Prediction, TakesWhatIsInOrder) {
  for (bool options : {false, true}) {
    TcpTrace t;
    t.Establish({.timestamps = options, .sack = options});
    for (int i = 0; i < 10; ++i) {
      t.In(i, absl::StrCat("A ", 1 + i * 100, ":", 101 + i * 100, " ack 1 win 65535"));
      t.Read(100);
      t.Drain();
    }
    EXPECT_EQ(10u, t.tcp().counters.predicted_data);
    t.Send(1000);
    t.Drain();
    t.In(20, "A 1001:1001 ack 1001 win 65535");
    EXPECT_EQ(1u, t.tcp().counters.predicted_acks);
    EXPECT_EQ(0u, t.tcp().counters.slow_path);
  }
}

// What comes in one burst, one segment behind the other, is one step but for its data, and so is its acknowledgment;
// while something of ours is under way each ACK field is looked at.
TEST(Prediction, CoalescesABurst) {
  for (bool options : {false, true}) {
    TcpTrace t;
    t.Establish({.timestamps = options, .sack = options});
    t.InBurst(1, {"A 1:1001 ack 1 win 65535", "A 1001:2001 ack 1 win 65535", "PA 2001:2101 ack 1 win 65535"});
    t.Out(1, "A 1:1 ack 2101");
    EXPECT_EQ(2u, t.tcp().counters.coalesced);
    t.Read(2100);
    t.Send(1000);
    t.Out(1, "PA 1:1001 ack 2101");
    t.InBurst(2, {"A 2101:2201 ack 1 win 65535", "A 2201:2301 ack 1 win 65535", "A 2301:2401 ack 1001 win 65535",
                  "A 2401:2501 ack 1001 win 65535", "A 2601:2701 ack 1001 win 65535"});
    EXPECT_EQ(3u, t.tcp().counters.coalesced);
    EXPECT_EQ(8u, t.tcp().counters.predicted_data + t.tcp().counters.slow_path);
    t.Read(400);
    t.Drain(50);
  }
}

}  // namespace
}  // namespace weir::testing_support
