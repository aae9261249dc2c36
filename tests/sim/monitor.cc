#include "tests/sim/monitor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::sim {
namespace {

bool Before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

}  // namespace

void Monitor::Expect(const ConnectionKey& key, int from, uint64_t pattern, uint64_t bytes) {
  Flow& flow = flows_[{key, from}];
  flow.pattern = pattern;
  flow.bytes = bytes;
}

std::optional<Monitor::Seen> Monitor::Find(int from, const Bytes& frame) {
  const std::optional<TcpView> tcp = ParseTcp(frame);
  if (!tcp.has_value()) return std::nullopt;
  const ConnectionKey key = KeyOf(from, tcp->source_port, tcp->destination_port);
  return Seen{*tcp, flows_[{key, from}], flows_[{key, 1 - from}]};
}

void Monitor::Fail(const std::string& what, const Seen& seen) {
  verdict_.Fail(absl::StrCat(what, ": [flags ", seen.tcp.flags, "] ", seen.tcp.seq, "+", seen.tcp.length(), " ack ",
                             seen.tcp.ack, " win ", seen.tcp.window));
}

// RFC 7323 §2.2, §2.3: scaled by what its sender offered, when both did; never in a SYN.
uint32_t Monitor::Edge(const Seen& seen) const {
  const bool scaled = !seen.tcp.has(kSyn) && seen.flow.wscale >= 0 && seen.peer.wscale >= 0;
  return seen.tcp.ack + (uint32_t{seen.tcp.window} << (scaled ? seen.flow.wscale : 0));
}

void Monitor::CheckAck(const Seen& seen) {
  Flow& flow = seen.flow;
  if (flow.ack.has_value() && Before(seen.tcp.ack, *flow.ack)) Fail("the acknowledgment goes back", seen);
  flow.ack = seen.tcp.ack;
  const uint32_t edge = Edge(seen);
  if (flow.edge.has_value() && Before(edge, *flow.edge)) {
    Fail(absl::StrCat("the right edge moves left, from ", *flow.edge, " to ", edge), seen);
  }
  flow.edge = edge;
}

void Monitor::CheckData(const Seen& seen) {
  Flow& flow = seen.flow;
  const TcpView& tcp = seen.tcp;
  const uint32_t end = tcp.seq + tcp.length();
  if (!flow.allowed.has_value() || Before(*flow.allowed, end)) {
    Fail(absl::StrCat("beyond the window that ends at ", flow.allowed.value_or(0)), seen);
  }
  const uint64_t offset = tcp.seq - *flow.iss - 1;
  const uint64_t stream_end = offset + tcp.payload.size();
  if (stream_end > flow.bytes) Fail("bytes that no program sent", seen);
  if (!IsPattern(flow.pattern, offset, tcp.payload)) Fail("other bytes than the program's", seen);
  if (tcp.has(kFin)) {
    const uint32_t fin = end - 1;
    if (flow.fin.value_or(fin) != fin) Fail(absl::StrCat("the FIN was at ", *flow.fin), seen);
    if (!flow.fin.has_value() && seen.peer.fin.has_value() && !Before(*seen.peer.fin, tcp.ack)) ++crossed_fins_;
    flow.fin = fin;
  }
  if (++flow.transmissions[tcp.seq] > kMaxTransmissions) Fail("sent too often", seen);
  data_bytes_ += tcp.payload.size();
}

void Monitor::Sent(int from, Nanos at_ns, const Bytes& frame) {
  std::optional<Seen> seen = Find(from, frame);
  if (!seen.has_value()) return;
  ++segments_;
  last_tcp_ns_ = std::max(last_tcp_ns_, at_ns);
  Flow& flow = seen->flow;
  const TcpView& tcp = seen->tcp;
  // Whether a window was of the peer's first life or its second nobody can tell.
  if (flow.reborn || seen->peer.reborn || tcp.has(kRst)) return;
  if (tcp.has(kSyn)) {
    flow.reborn = flow.iss.has_value() && *flow.iss != tcp.seq;
    if (flow.reborn) return;
    flow.iss = tcp.seq;
    flow.wscale = tcp.WindowScale();
    if (tcp.has(kAck) && flow.asked && !std::exchange(flow.answered, true)) crossed_syns_ += seen->peer.answered;
    flow.asked |= !tcp.has(kAck);
  }
  if (!flow.iss.has_value()) return Fail("before its SYN", *seen);
  if (tcp.has(kAck)) CheckAck(*seen);
  if (tcp.has(kSyn)) {
    if (!flow.allowed.has_value() && flow.peer_syn_window.has_value()) flow.allowed = tcp.seq + 1 + *flow.peer_syn_window;
    if (tcp.payload.size() > flow.bytes || !IsPattern(flow.pattern, 0, tcp.payload)) {
      Fail("other bytes with the SYN than the program's", *seen);
    }
    // What a SYN without ACK says of its window counts from the peer's first number.
    if (++flow.transmissions[tcp.seq] > kMaxTransmissions) Fail("sent too often", *seen);
    return;
  }
  if (tcp.length() > 0) CheckData(*seen);
}

void Monitor::Received(int to, Nanos at_ns, const Bytes& frame) {
  const std::optional<Seen> seen = Find(1 - to, frame);
  if (!seen.has_value()) return;
  last_tcp_ns_ = std::max(last_tcp_ns_, at_ns);
  if (seen->tcp.has(kRst) || seen->flow.reborn) return;
  if (seen->tcp.has(kSyn) && !seen->tcp.has(kAck)) seen->peer.peer_syn_window = seen->tcp.window;
  if (!seen->tcp.has(kAck)) return;
  std::optional<uint32_t>& allowed = seen->peer.allowed;
  const uint32_t edge = Edge(*seen);
  if (!allowed.has_value() || Before(*allowed, edge)) allowed = edge;
}

void Monitor::Note(int from, Nanos at_ns, const Bytes& frame, const std::string& fate) {
  if (records_.size() == kKept) records_.pop_front();
  records_.push_back({at_ns, from, frame, fate});
}

std::string Monitor::Tail() const {
  std::string text;
  for (const Record& record : records_) {
    absl::StrAppendFormat(&text, "  %12.6f ms  %s  %s\n", static_cast<double>(record.at_ns - start_ns_) / 1e6,
                          FrameText(record.from, record.frame), record.fate);
  }
  return text;
}

}  // namespace weir::sim
