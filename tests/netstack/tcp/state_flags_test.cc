// Every state and every combination of flags: what RFC 9293 §3.10.7 says happens to a segment without text at RCV.NXT,
// once with an acknowledgment of all we sent, our FIN included, and once without that of the FIN.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::TcpState;

// LISTEN and two ways into SYN-RECEIVED besides.
enum class Start { kClosed, kListen, kSynSent, kPassive, kActive, kEstablished, kFinWait1, kFinWait2, kCloseWait,
                   kClosing, kLastAck, kTimeWait };
constexpr const char* kNames[] = {"CLOSED",     "LISTEN",     "SYN-SENT",   "SYN-RECEIVED after a passive OPEN",
                                  "SYN-RECEIVED after an active OPEN",  "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
                                  "CLOSE-WAIT", "CLOSING",    "LAST-ACK",   "TIME-WAIT"};

struct Outcome {
  TcpState state;
  std::string answer;  // flags of what we send; empty: nothing
};

bool HasOurFin(Start start) { return start == Start::kFinWait1 || start == Start::kClosing || start == Start::kLastAck; }

// Where the segment's numbers are: RCV.NXT and SND.NXT, which count the FINs.
int SeqOf(Start start) {
  if (start <= Start::kSynSent) return 0;
  return start == Start::kCloseWait || start >= Start::kClosing ? 2 : 1;
}
int AckOf(Start start, bool of_fin) {
  if (HasOurFin(start)) return of_fin ? 2 : 1;
  return start == Start::kFinWait2 || start == Start::kTimeWait ? 2 : 1;
}

void Bring(TcpTrace& t, Start start) {
  switch (start) {
    case Start::kClosed:
      return;
    case Start::kListen:
      return t.Listen(80);
    case Start::kSynSent:
    case Start::kActive:
      t.Connect(443);
      t.Drain();
      if (start == Start::kActive) t.In(0, "S 0:0 win 65535 <mss 1460>");
      break;
    case Start::kPassive:
      t.Listen(80);
      t.In(0, "S 0:0 win 65535 <mss 1460>");
      break;
    default:
      t.Establish();
  }
  const bool peer_first = start == Start::kCloseWait || start == Start::kLastAck;
  if (peer_first) t.In(0, "FA 1:1 ack 1 win 65535");
  t.Drain();
  if (HasOurFin(start) || start == Start::kFinWait2 || start == Start::kTimeWait) t.Shutdown();
  t.Drain();
  if (start == Start::kFinWait2) t.In(0, "A 1:1 ack 2 win 65535");
  if (start == Start::kClosing) t.In(0, "FA 1:1 ack 1 win 65535");
  if (start == Start::kTimeWait) t.In(0, "FA 1:1 ack 2 win 65535");
  t.Drain();
}

constexpr TcpState kStateOf[] = {TcpState::kClosed,      TcpState::kClosed,      TcpState::kSynSent,
                                 TcpState::kSynReceived, TcpState::kSynReceived, TcpState::kEstablished,
                                 TcpState::kFinWait1,    TcpState::kFinWait2,    TcpState::kCloseWait,
                                 TcpState::kClosing,     TcpState::kLastAck,     TcpState::kTimeWait};

struct Flags {
  bool fin, syn, rst, ack;
};

// RFC 9293 §3.10.7.1 to §3.10.7.3.
Outcome ExpectedBefore(Start start, const Flags& f) {
  const TcpState state = kStateOf[static_cast<int>(start)];
  switch (start) {
    case Start::kClosed:
      return {state, f.rst ? "" : f.ack ? "R" : "RA"};
    case Start::kListen:
      if (f.rst) return {state, ""};
      if (f.ack) return {state, "R"};
      // Differs from RFC 9293 §3.10.7.2 as Linux does: nothing begins with its end.
      return f.syn && !f.fin ? Outcome{TcpState::kSynReceived, "SA"} : Outcome{state, ""};
    default:  // SYN-SENT
      if (f.rst) return {f.ack ? TcpState::kClosed : state, ""};
      if (!f.syn) return {state, ""};
      return f.ack ? Outcome{TcpState::kEstablished, "A"} : Outcome{TcpState::kSynReceived, "SA"};
  }
}

// RFC 9293 §3.10.7.4.
Outcome Expected(Start start, const Flags& f, bool of_fin) {
  const TcpState state = kStateOf[static_cast<int>(start)];
  if (start <= Start::kSynSent) return ExpectedBefore(start, f);
  // Second. RFC 1337: not in TIME-WAIT.
  if (f.rst) return {start == Start::kTimeWait ? state : TcpState::kClosed, ""};
  // Fourth, with the challenge ACK of RFC 5961 §4.
  if (f.syn) return start == Start::kPassive ? Outcome{TcpState::kClosed, ""} : Outcome{state, "A"};
  // Fifth. Linux answers a FIN in TIME-WAIT without it, too.
  if (!f.ack) return {state, start == Start::kTimeWait && f.fin ? "A" : ""};
  switch (start) {
    case Start::kPassive:
    case Start::kActive:
    case Start::kEstablished:
      return f.fin ? Outcome{TcpState::kCloseWait, "A"} : Outcome{TcpState::kEstablished, ""};
    case Start::kFinWait1:
      if (of_fin) return f.fin ? Outcome{TcpState::kTimeWait, "A"} : Outcome{TcpState::kFinWait2, ""};
      return f.fin ? Outcome{TcpState::kClosing, "A"} : Outcome{state, ""};
    case Start::kFinWait2:
      return f.fin ? Outcome{TcpState::kTimeWait, "A"} : Outcome{state, ""};
    case Start::kClosing:
      return {of_fin ? TcpState::kTimeWait : state, ""};
    case Start::kLastAck:
      return {of_fin ? TcpState::kClosed : state, ""};
    case Start::kTimeWait:
      return {state, f.fin ? "A" : ""};
    default:  // CLOSE-WAIT: after the peer's FIN another one says nothing
      return {state, ""};
  }
}

std::string Letters(int flags) {
  std::string letters;
  for (int bit = 0; bit < 6; ++bit) {
    if ((flags >> bit & 1) != 0) letters += "FSRPAU"[bit];
  }
  return letters;
}

TcpState StateOf(netstack::TcpContext& tcp, const Endpoint& local, const Endpoint& remote) {
  const uint32_t hash = tcp.demux.Hash(local, remote);
  if (const netstack::TcpSock* sock = tcp.demux.Find(hash, local, remote)) return sock->state;
  return tcp.time_wait.Find(hash, local, remote) != nullptr ? TcpState::kTimeWait : TcpState::kClosed;
}

TEST(EveryState, EveryCombinationOfFlags) {
  for (int s = 0; s <= static_cast<int>(Start::kTimeWait); ++s) {
    const auto start = static_cast<Start>(s);
    for (int flags = 1; flags < 64; ++flags) {
      for (bool of_fin : {true, false}) {
        if (!of_fin && !HasOurFin(start)) continue;
        TcpTrace t({.host = {.frames = 128}});
        Bring(t, start);
        t.In(0, absl::StrCat(Letters(flags), " ", SeqOf(start), ":", SeqOf(start), " ack ", AckOf(start, of_fin),
                             " win 65535"));
        const std::vector<std::string> sent = t.Drain();
        const uint16_t peer_port = start == Start::kSynSent || start == Start::kActive ? 443 : 40000;
        const uint16_t port = peer_port == 443 && t.has_sock() ? t.sock().local.port : uint16_t{80};
        Outcome got{StateOf(t.tcp(), {IpAddress::V4(kHostIp), port}, {IpAddress::V4(kPeerIp), peer_port}), ""};
        EXPECT_GE(1u, sent.size());
        if (!sent.empty()) {
          const std::vector<std::string> words = absl::StrSplit(sent[0], ' ');
          got.answer = words[1];
        }
        const Flags f{(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, (flags & 16) != 0};
        const Outcome expected = Expected(start, f, of_fin);
        EXPECT_EQ(static_cast<int>(expected.state), static_cast<int>(got.state))
            << kNames[s] << ", " << Letters(flags) << (of_fin ? "" : ", FIN not acknowledged");
        EXPECT_EQ(expected.answer, got.answer)
            << kNames[s] << ", " << Letters(flags) << (of_fin ? "" : ", FIN not acknowledged");
      }
    }
  }
}

}  // namespace
}  // namespace weir::testing_support
