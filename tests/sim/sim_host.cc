#include "tests/sim/sim_host.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_user_calls.h"

namespace weir::sim {

using netstack::TcpSock;
using testing_support::InetTestHost;

namespace {

constexpr uint32_t kIps[] = {testing_support::kHostIp, testing_support::kPeerIp};
constexpr const char* kIps6[] = {"fd00::1", "fd00::2"};
constexpr testing_support::Mac kMacs[] = {testing_support::kHostMac, testing_support::kPeerMac};

// Host `index` opens a connection.
TcpSock* Open(const Params& params, int index, size_t connection, InetTestHost& host, int* error) {
  const ConnectionParams& its = params.connections[connection];
  const int peer = 1 - index;
  const IpAddress ip = params.v4 ? IpAddress::V4(kIps[peer]) : IpAddress::Parse(kIps6[peer]).value();
  const auto meeting_port = static_cast<uint16_t>(kFirstMeetingPort + connection);
  netstack::TcpConnectOptions options{.fast_open = its.fast_open};
  if (its.both_open) options.local.port = meeting_port;
  return TcpConnect(host.inet().tcp, {ip, its.both_open ? meeting_port : kServerPort}, host.now(), error, options);
}

}  // namespace

uint64_t PatternKey(const Params& params, size_t connection, int from) {
  return params.seed * 0x9e3779b97f4a7c15 + connection * 2 + static_cast<uint64_t>(from);
}

InetTestHost::Options HostOptions(const Params& params, int index, bool prediction) {
  const HostParams& mine = params.hosts[index];
  InetTestHost::Options options{.ip = kIps[index],
                                .ip6 = IpPrefix{IpAddress::Parse(kIps6[index]).value(), 64},
                                .mac = kMacs[index],
                                .mtu = mine.mtu,
                                .frames = mine.frames,
                                .tcp = mine.tcp,
                                .start_ns = params.start_ns,
                                .hold_tx = mine.hold_tx};
  options.tcp.prediction = prediction;
  return options;
}

// RFC 6528: the numbers grow with the clock, by one in 4096 ns.
Nanos StartThatWraps(const Params& params) {
  const int client = params.connections.front().client;
  InetTestHost host(HostOptions(params, client, true));
  int error = 0;
  TcpSock* sock = Open(params, client, 0, host, &error);
  const uint32_t ahead = 0u - 2000 - sock->snd.iss.value();
  TcpAbort(*sock, host.now());
  TcpClose(*sock, host.now());
  return params.start_ns + (static_cast<Nanos>(ahead) << 12);
}

SimHost::SimHost(const Params& params, int index, bool prediction, PortBook& ports, Verdict& verdict)
    : params_(params),
      index_(index),
      ports_(ports),
      verdict_(verdict),
      random_(params.seed * 2 + static_cast<uint64_t>(index)),
      host_(std::make_unique<InetTestHost>(HostOptions(params, index, prediction))),
      order_(params.connections.size()) {
  listener_.owner = this;
  listener_.on_ready = &OnListenerReady;
  listener_.fast_open_max = params.hosts[index].fast_open_queue;
  if (TcpListen(host_->inet().tcp, listener_, {{}, kServerPort}, 16) != 0) verdict_.Fail("cannot listen");
  for (size_t i = 0; i < params.connections.size(); ++i) {
    const ConnectionParams& connection = params.connections[i];
    apps_.push_back(std::make_unique<App>(*host_,
                                          App::Role{.mine = connection.apps[index],
                                                    .peer = connection.apps[1 - index],
                                                    .out_pattern = PatternKey(params, i, index),
                                                    .in_pattern = PatternKey(params, i, 1 - index),
                                                    .seed = PatternKey(params, i, index) ^ 0x617070,
                                                    .may_fail = connection.aborts(),
                                                    .shut_from_ns = params.start_ns + connection.apps[index].shut_ns,
                                                    .name = absl::StrCat(index == 0 ? "A" : "B", " of connection ", i)},
                                          verdict));
  }
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::erase_if(order_, [&](size_t i) {
    return params.connections[i].client != index && !params.connections[i].both_open;
  });
  std::ranges::sort(order_, {}, [&](size_t i) { return std::pair(params.connections[i].start_ns, i); });
}

SimHost::~SimHost() {
  TcpUnlisten(host_->inet().tcp, listener_, host_->now());
  for (auto& app : apps_) {
    if (TcpSock* sock = app->sock()) {
      TcpAbort(*sock, host_->now());
      TcpClose(*sock, host_->now());
    }
  }
  apps_.clear();  // with the frames they hold
}

void SimHost::OnListenerReady(netstack::ReadySock& sock, uint8_t) { static_cast<SimHost*>(sock.owner)->Accept(); }

void SimHost::Accept() {
  while (TcpSock* sock = TcpAccept(listener_)) {
    const auto known = ports_.find(KeyOf(1 - index_, sock->remote.port, sock->local.port));
    if (known == ports_.end()) return verdict_.Fail("accepted what nobody connected");
    if (BeginsAgain(*sock, known->second)) {
      ++reopened_;
      TcpAbort(*sock, host_->now());
      TcpClose(*sock, host_->now());
      continue;
    }
    apps_[known->second]->Attach(*sock);
  }
}

// What Fast Open brings with it (RFC 7413 §2.1). An old SYN with data opens the connection again when it is over here, and
// nobody is at its other end. Or the program aborted it before the client had heard of it, and SYN, ACK and RST were lost:
// the client's next SYN opens it again, and this time the handshake is done; the program does once more what it did.
bool SimHost::BeginsAgain(const TcpSock& sock, size_t connection) const {
  const App& app = *apps_[connection];
  return app.attached() && (sock.fast_open.pending || app.aborted_early());
}

void SimHost::Connect(size_t connection) {
  int error = 0;
  TcpSock* sock = Open(params_, index_, connection, *host_, &error);
  if (sock == nullptr) return verdict_.Fail(absl::StrCat("cannot connect: errno ", error));
  ports_[KeyOf(index_, sock->local.port, sock->remote.port)] = connection;
  apps_[connection]->Attach(*sock);
}

void SimHost::Step(Nanos now_ns, const std::vector<Bytes>& burst, Departures& sent) {
  host_->AdvanceTo(now_ns);
  while (started_ < order_.size() && params_.start_ns + params_.connections[order_[started_]].start_ns <= now_ns) {
    Connect(order_[started_++]);
  }
  if (random_() % 3 != 0) host_->CompleteTx();
  for (auto& app : apps_) {
    if (app->wake_ns() <= now_ns) app->Run();
  }
  host_->Receive(burst);
  while (host_->has_sent()) sent.push_back(host_->TakeSent());
}

Nanos SimHost::NextEvent() const {
  if (!host_->inet().ip.ready.empty()) return host_->now();  // made ready by the output
  Nanos next_ns = host_->timers().NextDeadline();
  for (const auto& app : apps_) next_ns = std::min(next_ns, app->wake_ns());
  if (started_ < order_.size()) {
    next_ns = std::min(next_ns, params_.start_ns + params_.connections[order_[started_]].start_ns);
  }
  return next_ns;
}

Nanos SimHost::last_close_ns() const {
  Nanos last_ns = 0;
  for (const auto& app : apps_) last_ns = std::max(last_ns, app->done_ns());
  return last_ns;
}

uint32_t SimHost::Missing() {
  host_->CompleteTx();
  const runtime::FramePool* heap = host_->inet().ip.heap();
  return host_->pool().outstanding() + (heap != nullptr ? heap->outstanding() : 0);
}

std::string SimHost::State() {
  const netstack::TcpContext& tcp = host_->inet().tcp;
  std::string text = absl::StrCat("sockets ", tcp.sockets, "/", tcp.time_wait.count(), " out ", tcp.counters.segments_out,
                                  "/", tcp.counters.retransmits, "/", tcp.counters.resets_out, " frames ",
                                  host_->pool().free_count(), " timers ", host_->timers().armed(), "@",
                                  host_->timers().NextDeadline(), " ready ", host_->inet().ip.ready.empty());
  for (const auto& app : apps_) {
    const TcpSock* sock = app->sock();
    if (sock == nullptr) continue;
    absl::StrAppend(&text, "; state ", static_cast<int>(sock->state), " una ", sock->snd.una.value(), " nxt ",
                    sock->snd.nxt.value(), " write_seq ", sock->snd.write_seq.value(), " wnd ", sock->snd.wnd, " rcv ",
                    sock->rcv.nxt.value(), "+", sock->rcv.wnd, " queued ", sock->rcv.queued, "/",
                    sock->send_queue.count(), "/", sock->receive_queue.count(), "/", netstack::TcpOfoCount(*sock), " cwnd ",
                    sock->congestion.cwnd());
  }
  return text;
}

std::string SimHost::ToString() const {
  std::string text = absl::StrCat(index_ == 0 ? "  host A" : "  host B", ": sockets ", host_->inet().tcp.connections(),
                                  ", timers ", host_->timers().armed(), ", frames out ", host_->pool().outstanding(),
                                  ", lost for frames ", host_->lost_for_frames());
  for (const auto& app : apps_) absl::StrAppend(&text, "\n    ", app->ToString());
  return text;
}

}  // namespace weir::sim
