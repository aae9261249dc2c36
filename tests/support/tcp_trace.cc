#include "tests/support/tcp_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "netstack/wire/tcp.h"
#include "tests/support/tcp_options_text.h"

namespace weir::testing_support {

using netstack::TcpSock;
using netstack::TcpState;

namespace {

constexpr absl::string_view kFlagLetters = "FSRPAUEW";  // from bit 0 on
constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

uint8_t FlagsFrom(absl::string_view letters) {
  uint8_t flags = 0;
  for (char letter : letters) {
    const size_t bit = kFlagLetters.find(letter);
    if (bit == kFlagLetters.npos) ADD_FAILURE() << "flag " << letter;
    else flags |= static_cast<uint8_t>(1 << bit);
  }
  return flags;
}

std::string FlagLetters(uint8_t flags) {
  std::string letters;
  for (char letter : absl::string_view("SFRPAUEW")) {
    if ((flags >> kFlagLetters.find(letter) & 1) != 0) letters += letter;
  }
  return letters;
}

}  // namespace

Bytes Pattern(uint64_t offset, size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = PatternAt(offset + i);
  return bytes;
}

// "A 1:101 ack 1 win 512 <mss 1460>", taken apart. Numbers are as written: relative.
struct TcpTrace::Line {
  explicit Line(absl::string_view text) {
    const size_t bracket = text.find('<');
    if (bracket != text.npos) options = text.substr(bracket + 1, text.find('>') - bracket - 1);
    const std::vector<std::string> words =
        absl::StrSplit(text.substr(0, bracket), ' ', absl::SkipEmpty());
    const std::vector<std::string> range = absl::StrSplit(words.at(1), ':');
    flags = FlagsFrom(words[0]);
    bool ok = range.size() == 2 && absl::SimpleAtoi(range[0], &seq) && absl::SimpleAtoi(range[1], &end);
    for (size_t i = 2; i + 1 < words.size(); i += 2) {
      int64_t value = 0;
      ok = ok && absl::SimpleAtoi(words[i + 1], &value);
      (words[i] == "ack" ? ack : words[i] == "win" ? win : words[i] == "urg" ? urg : ecn) = value;
      ok = ok && (words[i] == "ack" || words[i] == "win" || words[i] == "urg" || words[i] == "ecn");
    }
    if (!ok || words.size() % 2 != 0) ADD_FAILURE() << "cannot read line: " << text;
  }
  std::string Format() const {
    return absl::StrCat(FlagLetters(flags), " ", seq, ":", end, ack ? absl::StrCat(" ack ", *ack) : "",
                        win ? absl::StrCat(" win ", *win) : "",
                        ecn ? absl::StrCat(" ecn ", *ecn) : "", ShowOptions(OptionsFrom(options, {}), {}));
  }

  uint8_t flags = 0;
  int64_t seq = 0, end = 0;
  std::optional<int64_t> ack, win, ecn, urg;
  absl::string_view options;
};

TcpTrace::TcpTrace(const Options& options)
    : host_(options.host), start_ns_(options.host.start_ns), peer_isn_(options.peer_isn) {
  host_.Learn();
}

TcpTrace::~TcpTrace() {
  if (std::optional<Departure> left = Next(host_.now())) {
    Fail(Where::current(), absl::StrCat("at the end, unexpected: ", Show(Parse(left->frame, ttl_), Where::current())));
  }
  if (listening_) Unlisten();
  for (auto& [port, f] : flows_) {
    if (f.sock == nullptr) continue;
    TcpAbort(*f.sock, host_.now());
    TcpClose(*f.sock, host_.now());
  }
  host_.Turn();
}

Nanos TcpTrace::AtMs(double ms) const { return start_ns_ + std::llround(ms * 1e6); }

// Once both sides have said so, every segment has timestamps; the peer's clock counts from the trace's beginning.
Bytes TcpTrace::PeerOptions(Flow& f, absl::string_view text, uint8_t flags) {
  const OptionBases bases{.ts_val = kPeerClock, .ts_ecr = f.host_clock.value_or(0), .sack = f.iss.value_or(0)};
  const bool named = WithoutTimestamps(absl::StrCat(" <", text, ">")) != absl::StrCat(" <", text, ">");
  if ((flags & (kSyn | kRst)) != 0 || named || text == "none" || !f.peer_timestamps || !f.host_clock) {
    return OptionsFrom(text, bases);
  }
  const auto ms = static_cast<int64_t>(Ms(host_.now()));
  const auto echo = static_cast<int32_t>(f.host_last_clock - *f.host_clock);
  return OptionsFrom(absl::StrCat("ts ", ms, " ecr ", echo, ", ", text), bases);
}

TcpTrace::Flow& TcpTrace::flow() {
  auto [it, fresh] = flows_.try_emplace(port_);
  if (fresh) it->second.isn = peer_isn_;
  return it->second;
}

void TcpTrace::Note(char direction, absl::string_view text) {
  history_.push_back(absl::StrFormat("%10.3f %c %s", Ms(host_.now()), direction, text));
}

void TcpTrace::Fail(const Where& where, const std::string& message) {
  const size_t n = std::min<size_t>(history_.size(), 20);
  const std::vector<std::string> tail(history_.end() - static_cast<ptrdiff_t>(n), history_.end());
  ADD_FAILURE_AT(where.file_name(), static_cast<int>(where.line()))
      << message << "\n  after:\n" << absl::StrJoin(tail, "\n");
}

Bytes TcpTrace::Build(absl::string_view text) {
  Flow& f = flow();
  const Line line(text);
  const bool opens = (line.flags & kSyn) != 0 && (f.sock == nullptr || f.sock->state == TcpState::kSynSent);
  const Bytes options = PeerOptions(f, line.options, line.flags);
  TcpSpec spec{.source_port = port_,
               .destination_port = f.host_port,
               .seq = f.isn + static_cast<uint32_t>(line.seq),
               .flags = line.flags,
               .window = static_cast<uint16_t>(line.win.value_or(0)),
               .urgent = static_cast<uint16_t>(line.urg.value_or(0)),
               .options = options};
  if (opens) {
    f.peer_timestamps = line.options.find("ts ") != line.options.npos;
    f.peer_wscale = -1;
    for (absl::string_view item : absl::StrSplit(line.options, ',')) {
      const size_t at = item.find("wscale ");
      if (at != item.npos) EXPECT_TRUE(absl::SimpleAtoi(item.substr(at + 7), &f.peer_wscale));
    }
  }
  if (line.ack.has_value()) {
    spec.ack = f.iss.value_or(0) + static_cast<uint32_t>(*line.ack);
    const bool scaled = (line.flags & kSyn) == 0 && f.peer_wscale >= 0 && f.host_wscale >= 0;
    const uint32_t edge = spec.ack + (uint32_t{spec.window} << (scaled ? std::min(f.peer_wscale, 14) : 0));
    if (!f.peer_edge || static_cast<int32_t>(edge - *f.peer_edge) > 0) f.peer_edge = edge;
  } else if (opens) {
    f.syn_window = spec.window;
  }
  Note('>', text);
  const auto tos = static_cast<uint8_t>(line.ecn.value_or(0));
  return Ethernet({}, Ipv4({.protocol = 6, .tos = tos}, Tcp(spec, Pattern(static_cast<uint64_t>(line.seq - !(line.flags & kSyn)),
                                                              static_cast<size_t>(line.end - line.seq)))));
}

void TcpTrace::PassTo(double ms, const Where& where) {
  const Nanos to_ns = std::max(AtMs(ms), host_.now());
  if (std::optional<Departure> early = Next(to_ns)) {
    Fail(where, absl::StrFormat("at %.3f, unexpected: %s", Ms(early->at_ns), Show(Parse(early->frame, ttl_), where)));
  }
}

void TcpTrace::In(double ms, absl::string_view line, Where where) { InBurst(ms, {line}, where); }

void TcpTrace::InBurst(double ms, std::initializer_list<absl::string_view> lines, Where where) {
  PassTo(ms, where);
  std::vector<Bytes> burst;
  for (absl::string_view line : lines) burst.push_back(Build(line));
  host_.Receive(burst);
}

void TcpTrace::Quiet(double ms, Where where) { PassTo(ms, where); }

std::vector<std::string> TcpTrace::Drain(double ms, Where where) {
  std::vector<std::string> lines;
  const Nanos to_ns = std::max(AtMs(ms), host_.now());
  while (std::optional<Departure> departure = Next(to_ns)) {
    lines.push_back(absl::StrFormat("%.3f %s", Ms(departure->at_ns), Show(Parse(departure->frame, ttl_), where)));
    Note('<', lines.back());
  }
  return lines;
}

std::optional<Departure> TcpTrace::Next(Nanos limit_ns) {
  for (;;) {
    if (host_.has_sent()) {
      Departure departure = host_.TakeSent();
      if (Get16(departure.frame, 12) != 0x0806) return departure;
      host_.Receive(Ethernet({.type = 0x0806},
                             Arp({.operation = 2, .target_mac = kHostMac, .target_ip = kHostIp})));
    } else if (host_.now() < limit_ns) {
      host_.AdvanceToNextTimer(limit_ns);
    } else {
      return std::nullopt;
    }
  }
}

void TcpTrace::Out(double ms, absl::string_view text, Where where) {
  // Deadlines are rounded up to the timer wheel's tick, and backed-off ones add up.
  constexpr double kTolerance = 0.4;
  const std::string expected = Line(text).Format();
  const uint8_t packet_flags = Line(text).flags;
  const std::optional<Departure> departure = Next(std::max(AtMs(ms + kTolerance), host_.now()));
  if (!departure.has_value()) return Fail(where, absl::StrFormat("no packet until %.3f, expected: %s", ms, expected));
  const Packet packet = Parse(departure->frame, ttl_);
  std::string got = Show(packet, where);
  Note('<', got);
  if (!Line(text).win.has_value()) {
    const size_t win = got.find(" win ");
    if (win != got.npos) got.erase(win, got.find(' ', win + 5) - win);
  }
  // Timestamps count only where the line tells their values; in a SYN, their being there.
  const bool valued = text.find("ts ") != text.npos, bare = !valued && text.find("ts") != text.npos;
  const std::string wanted = bare ? WithoutTimestampValues(expected) : expected;
  if (!valued) got = bare || (packet_flags & kSyn) != 0 ? WithoutTimestampValues(got) : WithoutTimestamps(got);
  if (got != wanted) Fail(where, absl::StrCat("expected: ", wanted, "\n       got: ", got));
  if (std::abs(Ms(departure->at_ns) - ms) > kTolerance) {
    Fail(where, absl::StrFormat("expected at %.3f ms, came at %.3f ms: %s", ms, Ms(departure->at_ns), got));
  }
}

// The packet as a line, after the checks that hold for every packet.
std::string TcpTrace::Show(const Packet& packet, const Where& where) {
  if (!packet.ok || packet.protocol != 6) return Describe(packet);
  const View tcp = packet.transport_bytes();
  const uint16_t peer_port = Get16(tcp, 2);
  const auto found = flows_.find(peer_port);
  if (found == flows_.end()) return Describe(packet);
  Flow& f = found->second;
  const uint8_t flags = std::to_integer<uint8_t>(tcp[13]);
  const uint32_t seq = Get32(tcp, 4);
  const auto payload = static_cast<int64_t>(packet.payload_bytes().size());
  if ((flags & kSyn) != 0 && f.iss != seq) {
    f.iss = seq;
    f.right_edge.reset();
    f.peer_edge = f.syn_window.has_value() ? std::optional(seq + 1 + *f.syn_window) : std::nullopt;
    if ((flags & kAck) != 0) f.sent = f.read = 0;
  }
  const View options = tcp.subspan(20, packet.payload - packet.transport - 20);
  NoteClock(f, options, flags, where);
  Check(f, packet, where);
  const auto relative = static_cast<int32_t>(seq - f.iss.value_or(0));
  std::string line = peer_port == port_ ? "" : absl::StrCat("(to ", peer_port, ") ");
  absl::StrAppend(&line, FlagLetters(flags), " ", relative, ":", relative + payload);
  if ((flags & kAck) != 0) absl::StrAppend(&line, " ack ", static_cast<int32_t>(Get32(tcp, 8) - f.isn));
  absl::StrAppend(&line, " win ", Get16(tcp, 14));
  if (const int ecn = std::to_integer<int>(packet.frame[packet.network + 1]) & 3; ecn != 0) {
    absl::StrAppend(&line, " ecn ", ecn);
  }
  return line + ShowOptions(options, {.ts_val = f.host_clock.value_or(0), .ts_ecr = kPeerClock, .sack = f.isn});
}

// RFC 7323 §3.2: once negotiated, timestamps are in every segment but RST.
void TcpTrace::NoteClock(Flow& f, View options, uint8_t flags, const Where& where) {
  netstack::TcpOptions parsed;
  parsed.Parse(options);
  if ((flags & kSyn) != 0) {
    f.host_clock.reset();
    if (parsed.has_timestamps) f.host_clock = parsed.ts_val;
  } else if ((flags & kRst) == 0 && parsed.has_timestamps != (f.host_clock && f.peer_timestamps)) {
    Fail(where, parsed.has_timestamps ? "timestamps that were not agreed" : "no timestamps");
  }
  if (parsed.has_timestamps) f.host_last_clock = parsed.ts_val;
}

void TcpTrace::Check(Flow& f, const Packet& packet, const Where& where) {
  const View tcp = packet.transport_bytes();
  const uint8_t flags = std::to_integer<uint8_t>(tcp[13]);
  const uint32_t seq = Get32(tcp, 4);
  const View payload = packet.payload_bytes();
  if ((flags & kSyn) != 0) {
    const View options = tcp.subspan(20, packet.payload - packet.transport - 20);
    const std::string shown = ShowOptions(options, {});
    const size_t at = shown.find("wscale ");
    f.host_wscale = -1;
    if (at != shown.npos) f.host_wscale = std::stoi(shown.substr(at + 7));
  }
  if ((flags & kRst) != 0) return;
  if ((flags & kAck) != 0) {
    const bool scaled = (flags & kSyn) == 0 && f.peer_wscale >= 0 && f.host_wscale >= 0;
    const uint32_t edge = Get32(tcp, 8) + (uint32_t{Get16(tcp, 14)} << (scaled ? f.host_wscale : 0));
    ++window_edges_checked_;
    if (f.right_edge && static_cast<int32_t>(edge - *f.right_edge) < 0) {
      Fail(where, absl::StrCat("the window's right edge moved left by ", *f.right_edge - edge));
    }
    f.right_edge = edge;
  }
  if (payload.empty()) return;
  const uint32_t end = seq + static_cast<uint32_t>(payload.size()) + ((flags & kFin) != 0);
  if (f.peer_edge && static_cast<int32_t>(end - *f.peer_edge) > 0) {
    Fail(where, absl::StrCat("sent ", end - *f.peer_edge, " bytes beyond the peer's window"));
  }
  const Bytes pattern = Pattern(uint64_t{seq - *f.iss} - !(flags & kSyn), payload.size());
  if (!std::ranges::equal(payload, pattern)) Fail(where, absl::StrCat("wrong bytes at ", seq - *f.iss));
}

void TcpTrace::Listen(uint16_t port, int backlog, int fast_open) {
  ASSERT_EQ(0, TcpListen(tcp(), listener_, {{}, port}, backlog));
  listener_.fast_open_max = static_cast<uint32_t>(fast_open);
  listening_ = true;
}

void TcpTrace::Unlisten() {
  TcpUnlisten(tcp(), listener_, host_.now());
  listening_ = false;
  host_.Turn();
}

void TcpTrace::Attach(TcpSock& sock, Flow& f) {
  f.sock = &sock;
  sock.nodelay = true;  // each Send is a segment; nagle_test.cc takes it back
  sock.owner = &f;
  sock.on_ready = [](netstack::ReadySock& ready, uint8_t events) {
    static_cast<Flow*>(ready.owner)->events |= events;
  };
}

void TcpTrace::Connect(uint16_t peer_port, const netstack::TcpConnectOptions& options) {
  int error = 0;
  TcpSock* sock = TcpConnect(tcp(), {IpAddress::V4(kPeerIp), peer_port}, host_.now(), &error, options);
  ASSERT_NE(nullptr, sock) << error;
  From(peer_port);
  Flow& f = flow();
  f.host_port = sock->local.port;
  f.sent = f.read = 0;
  Attach(*sock, f);
  host_.Turn();
}

void TcpTrace::Accept(Where where) {
  TcpSock* sock = TcpAccept(listener_);
  if (sock == nullptr) return Fail(where, "nothing to accept");
  From(sock->remote.port);
  Attach(*sock, flow());
}

void TcpTrace::Send(size_t n, Where where) {
  Flow& f = flow();
  const Bytes bytes = Pattern(f.sent, n);
  const iovec from{const_cast<std::byte*>(bytes.data()), n};
  size_t taken = 0;
  if (!TcpSendmsg(*f.sock, {&from, 1}, &taken)) Fail(where, absl::StrCat("only ", taken, " bytes taken"));
  f.sent += taken;
  Note(' ', absl::StrCat("program sends ", taken));
  host_.Turn();
}

void TcpTrace::Read(size_t n, Where where) {
  Flow& f = flow();
  Bytes bytes(n);
  const iovec into{bytes.data(), n};
  const size_t got = TcpRecvmsg(*f.sock, {&into, 1});
  if (got != n) Fail(where, absl::StrCat("read ", got, " bytes, wanted ", n));
  bytes.resize(got);
  if (bytes != Pattern(f.read, got)) Fail(where, "read wrong bytes");
  f.read += got;
  Note(' ', absl::StrCat("program reads ", got));
  TcpCleanupRbuf(*f.sock);
  host_.Turn();
}

void TcpTrace::ReadFrames(runtime::FrameChain& chain) {
  Flow& f = flow();
  TcpRecvmsg(*f.sock, chain);
  f.read += chain.size();
  TcpCleanupRbuf(*f.sock);
  host_.Turn();
}

void TcpTrace::Shutdown() {
  Note(' ', "program shuts down");
  TcpShutdown(sock());
  host_.Turn();
}

void TcpTrace::Close() {
  Note(' ', "program closes");
  TcpClose(*std::exchange(flow().sock, nullptr), host_.now());
  host_.Turn();
}

void TcpTrace::Abort() {
  Note(' ', "program aborts");
  TcpAbort(sock(), host_.now());
  host_.Turn();
}

void TcpTrace::Establish(const Handshake& handshake) {
  const std::string ours = absl::StrCat(handshake.sack ? ", sackOK" : "", handshake.timestamps ? ", ts" : "",
                                        handshake.wscale ? ", wscale 7" : "");
  const std::string theirs =
      absl::StrCat(handshake.sack ? ", sackOK" : "", handshake.timestamps ? ", ts 0 ecr 0" : "",
                   handshake.wscale ? absl::StrCat(", wscale ", *handshake.wscale) : "");
  const std::string win = absl::StrCat(" win ", handshake.window);
  if (!listening_) Listen(80);
  In(0, absl::StrCat("S 0:0", win, " <mss ", handshake.mss, theirs, ">"));
  Out(0, absl::StrCat("SA 0:0 ack 1 <mss 1460", ours, ">"));
  In(handshake.rtt, absl::StrCat("A 1:1 ack 1", win));
  Accept();
  if (!handshake.quick) sock().quick_acks = 0;
  TakeEvents();
}

void TcpTrace::ExpectGone(Where where) {
  host_.Turn();
  if (tcp().connections() != 0) Fail(where, absl::StrCat(tcp().connections(), " connections are left"));
  if (host_.armed_timers() != 0) Fail(where, absl::StrCat(host_.armed_timers(), " timers are left"));
}

Nanos TcpTrace::StartForIss(uint32_t iss) {
  const Nanos probe_start = Options{}.host.start_ns;
  TcpTrace probe;
  probe.Listen(80);
  probe.In(0, "S 0:0 win 65535 <mss 1460>");
  probe.Out(0, "SA 0:0 ack 1 <mss 1460>");
  const uint32_t got = *probe.flow().iss;
  probe.In(0, "R 1:1");
  // The clock part of the number counts in units of 2^12 ns (netstack/tcp/tcp_initial.h).
  return ((probe_start >> 12) + (iss - got)) << 12;
}

}  // namespace weir::testing_support
