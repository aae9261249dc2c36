#include "tests/sim/params.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::sim {
namespace {

class Draws {
 public:
  explicit Draws(uint64_t seed) : engine_(seed) {}
  uint64_t Below(uint64_t n) { return engine_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  template <typename T>
  T Between(T low, T high) {
    return low + static_cast<T>(Below(static_cast<uint64_t>(high - low) + 1));
  }

 private:
  std::mt19937_64 engine_;
};

LinkParams DrawLink(Draws& draw, Nanos delay_ns) {
  LinkParams link{.delay_ns = delay_ns};
  if (!draw.OneIn(4)) link.loss = draw.Between<uint32_t>(0, draw.OneIn(3) ? 300 : 60);
  if (draw.OneIn(2)) link.duplicate = draw.Between<uint32_t>(0, 100);
  if (draw.OneIn(2)) link.corrupt = draw.Between<uint32_t>(0, 50);
  if (draw.OneIn(2)) link.overtake = draw.Between<uint32_t>(0, 150);
  if (draw.OneIn(2)) link.jitter_ns = draw.Between<Nanos>(0, delay_ns);
  link.in_order = draw.OneIn(2);
  if (draw.OneIn(3)) {
    link.bytes_per_second = uint64_t{20'000} << draw.Below(10);
    link.queue_bytes = draw.Between<uint64_t>(15'000, 150'000);
  }
  return link;
}

AppParams DrawApp(Draws& draw, uint64_t most_bytes) {
  AppParams app;
  app.bytes = draw.OneIn(4) ? draw.Below(3) : draw.Below(most_bytes);
  app.max_write = size_t{1} << draw.Between<size_t>(draw.OneIn(8) ? 3 : 9, 14);
  app.max_read = size_t{1} << draw.Between<size_t>(draw.OneIn(8) ? 3 : 9, 16);
  app.read = static_cast<ReadMode>(draw.Below(4));
  app.send_frames = draw.OneIn(2);
  if (draw.OneIn(2)) {
    app.pause_one_in = draw.Between<uint32_t>(2, 50);
    app.max_pause_ns = draw.OneIn(3) ? 3 * kSecond : 20 * kMillisecond;
  }
  return app;
}

// Combinations of endings that leave both sides something true to expect.
void DrawEndings(Draws& draw, ConnectionParams& connection) {
  const size_t one = draw.Below(2);
  AppParams& a = connection.apps[one];
  AppParams& b = connection.apps[1 - one];
  switch (draw.Below(8)) {
    case 0:
    case 1:
      a.ending = Ending::kAfterPeer;
      break;
    case 2:
      a.ending = Ending::kCloseAtOnce;
      b.bytes = 0;
      // A window that stays closed ends a connection that no program holds any more, rightly (tcp_orphan_retries).
      b.max_pause_ns = std::min(b.max_pause_ns, 20 * kMillisecond);
      break;
    case 3:
      if (!draw.OneIn(2)) break;
      a.ending = Ending::kAbort;
      a.abort_after = draw.Below(a.bytes + b.bytes + 1);
      break;
    default:
      break;
  }
}

// Pools in which a connection's queues alone would hold every frame, and writes of some bytes, each of which may go as a
// segment of its own.
void DrawTinyFrames(Draws& draw, Params& params) {
  constexpr uint32_t kFrames[] = {32, 48, 64, 96, 128, 192};
  const size_t both = draw.Below(3);
  for (size_t i = 0; i < 2; ++i) {
    if (both == i) continue;
    params.hosts[i].frames = kFrames[draw.Below(6)];
  }
  for (ConnectionParams& connection : params.connections) {
    for (AppParams& app : connection.apps) {
      if (draw.OneIn(4)) continue;
      if (app.bytes != 0) app.bytes = draw.Below(5000 / params.connections.size());
      app.max_write = draw.Between<size_t>(1, 40);
      app.nodelay = true;
      app.send_frames = !draw.OneIn(3);
      app.abort_after = std::min(app.abort_after, app.bytes);
    }
  }
}

// Both hosts open a connection at once, or close it at once (RFC 9293 §3.5, §3.6): what is small enough is done by then.
void DrawMeetings(Draws& draw, Nanos delay_ns, ConnectionParams& connection) {
  connection.both_open = draw.OneIn(6);
  const auto shuts = [](const AppParams& app) { return app.ending == Ending::kShutdown; };
  if (!std::ranges::all_of(connection.apps, shuts) || !draw.OneIn(4)) return;
  const Nanos shut_ns = connection.start_ns + 8 * delay_ns + draw.Between<Nanos>(0, 3 * kSecond);
  for (AppParams& app : connection.apps) {
    app.bytes = std::min<uint64_t>(app.bytes, 3000);
    app.shut_ns = shut_ns;
  }
}

// Options that a host may do without; each side decides for itself.
void DrawOptions(Draws& draw, netstack::TcpSettings& tcp) {
  tcp.timestamps = draw.OneIn(4) ? 0 : 1;
  tcp.sack = !draw.OneIn(4);
  tcp.dsack = !draw.OneIn(4);
  tcp.window_scaling = !draw.OneIn(8);
  tcp.frto = !draw.OneIn(4);
  tcp.early_retrans = !draw.OneIn(4);
  tcp.ecn = static_cast<uint8_t>(draw.Below(3));
  tcp.slow_start_after_idle = draw.OneIn(2);
  using enum netstack::TcpCongestionControl;
  tcp.congestion_control = draw.OneIn(3) ? kReno : kCubic;
}

// RFC 7413: not, with cookies, or without.
void DrawFastOpen(Draws& draw, HostParams& host) {
  constexpr uint32_t kSettings[] = {0, 0x3, 0x3, 0x207};
  host.tcp.fastopen = kSettings[draw.Below(4)];
  host.fast_open_queue = draw.OneIn(4) ? 1 : 16;
}

// RFC 4821; with a black hole on the way a host cannot do without.
void DrawMtuProbing(Draws& draw, bool black_hole, netstack::TcpSettings& tcp) {
  constexpr uint32_t kBases[] = {1024, 1024, 536, 1300};
  tcp.mtu_probing = static_cast<uint8_t>(draw.Between<uint32_t>(black_hole ? 1 : 0, 2));
  tcp.base_mss = kBases[draw.Below(4)];
  tcp.probe_interval_s = draw.OneIn(2) ? 600 : 3;
}

HostParams DrawHost(Draws& draw) {
  constexpr uint32_t kMtus[] = {1500, 1500, 1500, 1280, 1400, 1499};
  HostParams host{.mtu = kMtus[draw.Below(6)]};
  host.frames = draw.OneIn(5) ? 256 : 2048;
  host.tcp.receive_buffer = static_cast<uint32_t>(2000 + draw.Below(draw.OneIn(2) ? 20'000 : 500'000));
  host.tcp.send_buffer = static_cast<uint32_t>(2000 + draw.Below(200'000));
  host.hold_tx = draw.OneIn(4);
  DrawOptions(draw, host.tcp);
  return host;
}

std::string LinkText(const LinkParams& link) {
  std::string text =
      absl::StrFormat("loss %d, doubled %d, corrupted %d, overtaken %d of 1000, delay %.3f+%.3f ms%s", link.loss,
                      link.duplicate, link.corrupt, link.overtake, static_cast<double>(link.delay_ns) / 1e6,
                      static_cast<double>(link.jitter_ns) / 1e6, link.in_order ? " in order" : "");
  if (link.bytes_per_second != 0) {
    absl::StrAppend(&text, ", ", link.bytes_per_second, " B/s with a queue of ", link.queue_bytes);
  }
  return text;
}

std::string OptionsText(const netstack::TcpSettings& tcp) {
  return absl::StrCat("timestamps=", tcp.timestamps, ",sack=", tcp.sack, ",dsack=", tcp.dsack,
                      ",window_scaling=", tcp.window_scaling, ",frto=", tcp.frto, ",early_retrans=", tcp.early_retrans,
                      ",retrans_collapse=", tcp.retrans_collapse, ",ecn=", tcp.ecn,
                      ",slow_start_after_idle=", tcp.slow_start_after_idle, ",mtu_probing=", tcp.mtu_probing,
                      ",base_mss=", tcp.base_mss, ",probe_interval=", tcp.probe_interval_s, ",fastopen=", tcp.fastopen,
                      ",congestion_control=", tcp.congestion_control == netstack::TcpCongestionControl::kReno ? "reno" : "cubic");
}

std::string AppText(const AppParams& app) {
  constexpr const char* kReads[] = {"copied", "direct", "frames", "held frames"};
  constexpr const char* kEndings[] = {"shutdown", "after the peer", "close at once", "abort"};
  std::string text = absl::StrCat(app.bytes, " bytes by ", app.max_write, app.send_frames ? " in frames" : "",
                                  app.nodelay ? " at once" : "", ", reads ", app.max_read, " ",
                                  kReads[static_cast<size_t>(app.read)], ", ", kEndings[static_cast<size_t>(app.ending)]);
  if (app.shut_ns != 0) absl::StrAppend(&text, " from ", app.shut_ns / kMillisecond, " ms on");
  if (app.ending == Ending::kAbort) absl::StrAppend(&text, " after ", app.abort_after);
  if (app.pause_one_in != 0) {
    absl::StrAppend(&text, ", pauses 1 in ", app.pause_one_in, " up to ", app.max_pause_ns / kMillisecond, " ms");
  }
  return text;
}

}  // namespace

uint64_t Params::bytes() const {
  uint64_t total = 0;
  for (const ConnectionParams& connection : connections) total += connection.apps[0].bytes + connection.apps[1].bytes;
  return total;
}

uint64_t Params::writes() const {
  uint64_t total = 0;
  for (const ConnectionParams& connection : connections) {
    for (const AppParams& app : connection.apps) total += app.bytes / ((app.max_write + 1) / 2);
  }
  return total;
}

std::string Params::ToString() const {
  std::string text = absl::StrCat("seed ", seed, ": ", v4 ? "IPv4" : "IPv6", wraps ? ", sequence numbers wrap" : "");
  for (int i = 0; i < 2; ++i) {
    const HostParams& host = hosts[i];
    absl::StrAppend(&text, "\n  host ", i == 0 ? "A" : "B", ": MTU ", host.mtu, ", ", host.frames, " frames, buffers ",
                    host.tcp.receive_buffer, " in, ", host.tcp.send_buffer, " out", host.hold_tx ? ", slow device" : "",
                    ", ", OptionsText(host.tcp), "; sends over: ", LinkText(links[i]));
  }
  for (const MtuChange& change : mtu_changes) {
    absl::StrAppend(&text, "\n  path MTU ", change.mtu, " at ", change.at_ns / kMillisecond, " ms",
                    black_hole ? ", silently" : "");
  }
  for (const ConnectionParams& connection : connections) {
    const char* from = connection.both_open ? "both" : connection.client == 0 ? "A" : "B";
    absl::StrAppend(&text, "\n  connection from ", from, " at ", connection.start_ns / kMillisecond, " ms",
                    connection.fast_open ? ", fast open" : "", "\n    A: ", AppText(connection.apps[0]),
                    "\n    B: ", AppText(connection.apps[1]));
  }
  return text;
}

Params DrawParams(uint64_t seed, const Switches& switches) {
  Draws draw(seed);
  Params params{.seed = seed, .v4 = draw.OneIn(2), .wraps = draw.OneIn(4)};
  const Nanos delay_ns = kMicrosecond * draw.Between<Nanos>(10, draw.OneIn(2) ? 1000 : 100'000);
  for (LinkParams& link : params.links) link = DrawLink(draw, delay_ns);
  if (draw.OneIn(4)) params.links[0] = params.links[1] = {.delay_ns = delay_ns};  // where prediction has its day
  if (draw.OneIn(3)) {
    params.black_hole = switches.black_holes && draw.OneIn(3);
    const uint32_t least = params.v4 ? 600 : 1280;  // min_pmtu; RFC 8200 §5
    for (uint64_t changes = draw.Between<uint64_t>(1, 3); changes > 0; --changes) {
      params.mtu_changes.push_back({draw.Between<Nanos>(0, 20 * delay_ns), draw.Between<uint32_t>(least, 1500)});
    }
    std::ranges::sort(params.mtu_changes, {}, &MtuChange::at_ns);
  }
  for (HostParams& host : params.hosts) {
    host = DrawHost(draw);
    DrawMtuProbing(draw, params.black_hole, host.tcp);
    DrawFastOpen(draw, host);
    // Cut small, what is queued takes several times the frames, and a small pool has none left to cut with.
    if (params.black_hole) host.frames = 2048;
  }
  const uint64_t connections = draw.OneIn(2) ? 1 : draw.Between<uint64_t>(2, 5);
  for (uint64_t i = 0; i < connections; ++i) {
    ConnectionParams connection{.client = static_cast<int>(draw.Below(2))};
    connection.start_ns = i == 0 ? 0 : draw.Between<Nanos>(0, 10 * delay_ns);
    connection.fast_open = draw.OneIn(2);
    for (AppParams& app : connection.apps) app = DrawApp(draw, 200'000 / connections);
    DrawEndings(draw, connection);
    // Who closes before anything was written has sent no SYN, as with TCP_FASTOPEN_CONNECT: there is nothing to expect.
    const auto says_nothing = [](const AppParams& app) { return app.ending == Ending::kCloseAtOnce && app.bytes == 0; };
    if (std::ranges::any_of(connection.apps, says_nothing)) connection.fast_open = false;
    params.connections.push_back(connection);
  }
  if (draw.OneIn(6)) DrawTinyFrames(draw, params);
  for (ConnectionParams& connection : params.connections) DrawMeetings(draw, delay_ns, connection);
  for (HostParams& host : params.hosts) host.tcp.retrans_collapse = !draw.OneIn(8);
  return params;
}

}  // namespace weir::sim
