#include "tests/conformance/weir_stack.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "netstack/link/ethernet_rcv.h"
#include "netstack/tcp/tcp_output.h"
#include "runtime/base/errno_status.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::conformance {
namespace {

using namespace testing_support;
using netstack::TcpSockOption;

// TcpStream and TcpListener set options by one function each; scripts name them.
struct StreamAccess : TcpStream {
  static netstack::StreamBackend& Backend(TcpStream& stream) { return (stream.*&StreamAccess::backend)(); }
};

constexpr std::pair<const char*, TcpSockOption> kOptions[] = {
    {"NODELAY", TcpSockOption::kNoDelay},           {"CORK", TcpSockOption::kCork},
    {"QUICKACK", TcpSockOption::kQuickAck},         {"USER_TIMEOUT", TcpSockOption::kUserTimeout},
    {"RCVBUF", TcpSockOption::kReceiveBuffer},      {"SNDBUF", TcpSockOption::kSendBuffer},
    {"LINGER2", TcpSockOption::kFinTimeout},        {"NOTSENT_LOWAT", TcpSockOption::kNotSentLowat},
    {"SYNCNT", TcpSockOption::kSynCount},           {"MAXSEG", TcpSockOption::kMaxSegment},
    {"WINDOW_CLAMP", TcpSockOption::kWindowClamp},  {"TOS", TcpSockOption::kTos},
    {"TTL", TcpSockOption::kTtl},                   {"MTU_DISCOVER", TcpSockOption::kMtuDiscover},
    {"MINTTL", TcpSockOption::kMinTtl},             {"DEFER_ACCEPT", TcpSockOption::kDeferAccept},
    {"MAX_PACING_RATE", TcpSockOption::kMaxPacingRate},
};

std::optional<TcpSockOption> OptionByName(const std::string& name) {
  for (const auto& [known, option] : kOptions) {
    if (name == known) return option;
  }
  return std::nullopt;
}

// The errno that a status tells of: its name ends the message ("... (ECONNRESET)"). A call that was stopped is one that
// would have waited.
int ErrnoOf(const absl::Status& status) {
  if (status.ok()) return 0;
  if (absl::IsCancelled(status)) return EAGAIN;
  constexpr int kErrors = 134;
  for (int error = 1; error < kErrors; ++error) {
    const char* name = strerrorname_np(error);
    if (name != nullptr && absl::StrContains(status.message(), absl::StrCat("(", name, ")"))) return error;
  }
  return absl::IsDeadlineExceeded(status) ? ETIMEDOUT : EIO;
}

absl::Status Unknown(const std::string& what) { return runtime::ErrnoStatus(ENOSYS, what); }

// As tcpi_state has them.
int LinuxState(netstack::TcpState state) {
  constexpr int kStates[] = {7, 2, 3, 1, 4, 5, 8, 11, 9, 6};
  return kStates[static_cast<size_t>(state)];
}

std::map<std::string, double> InfoFields(const TcpInfo& info) {
  const auto ms = [](Nanos ns) { return static_cast<double>(ns) / kMillisecond; };
  return {{"state", static_cast<double>(LinuxState(info.state))},
          {"ca_state", static_cast<double>(info.ca_state)},
          {"ts", info.timestamps},
          {"sack", info.sack},
          {"wscale", info.window_scaling},
          {"syn_data", info.syn_data},
          {"snd_wscale", info.snd_wscale},
          {"rcv_wscale", info.rcv_wscale},
          {"retransmits", info.retransmits},
          {"probes", info.probes},
          {"backoff", info.backoff},
          {"rto", ms(info.rto_ns)},
          {"rtt", ms(info.rtt_ns)},
          {"snd_mss", info.snd_mss},
          {"rcv_mss", info.rcv_mss},
          {"advmss", info.advmss},
          {"cwnd", info.snd_cwnd},
          {"ssthresh", info.snd_ssthresh},
          {"unacked", info.unacked},
          {"lost", info.lost},
          {"snd_wnd", info.snd_wnd},
          {"notsent", info.notsent_bytes},
          {"unread", info.unread_bytes},
          {"outq", info.unacked_bytes},
          {"bytes_sent", static_cast<double>(info.bytes_sent)},
          {"bytes_retrans", static_cast<double>(info.bytes_retrans)},
          {"bytes_acked", static_cast<double>(info.bytes_acked)},
          {"bytes_received", static_cast<double>(info.bytes_received)},
          {"segs_out", info.segs_out},
          {"segs_in", info.segs_in},
          {"total_retrans", info.total_retrans}};
}

}  // namespace

WeirStack::WeirStack(bool v6, uint32_t mtu, const netstack::TcpSettings& settings)
    : v6_(v6), pool_(runtime::FramePool::Create({.frames = 4096}).value()) {
  netstack::InterfaceOptions interface{.device = {.mac = {kHostMac}, .mtu = mtu},
                                       .addresses = {{IpAddress::V4(kHostIp), 24}, {*IpAddress::Parse(kHostIp6), 64}}};
  inet_.emplace(netstack::IpOptions{.interfaces = {interface}, .secret = {17, 42}}, settings, *pool_, scheduler_.timers());
  stack_.emplace(*inet_, scheduler_);
  scope_.emplace(TaskContext{&scheduler_, stop_.token()});
  Settle();
  arrived.clear();  // reports of group membership
}

WeirStack::~WeirStack() { (void)End(); }

void WeirStack::Settle() {
  do {
    stack_->RunWakeups();
    scheduler_.RunReady();
    scheduler_.timers().Advance(now_ns());
    TcpFlush(inet_->tcp, now_ns());
    netstack::NetDevice& device = inet_->ip.interfaces.front()->device;
    while (!device.tx_empty()) arrived.push_back({now_ns(), TakePacket(device)});
  } while (scheduler_.has_ready() || !inet_->ip.ready.empty());
}

void WeirStack::Wait(Nanos until_ns) {
  const size_t frames = arrived.size(), calls = returned.size();
  while (now_ns() < until_ns && arrived.size() == frames && returned.size() == calls) {
    scheduler_.set_now_ns(std::clamp(scheduler_.timers().NextDeadline(), now_ns() + 1, until_ns));
    Settle();
  }
}

void WeirStack::Send(const Bytes& bytes) {
  runtime::Frame* frame = ToFrames(*pool_, bytes);
  netstack::ReceiveBurst(*inet_, *inet_->ip.interfaces.front(), {&frame, 1}, now_ns());
  Settle();
}

std::string WeirStack::End() {
  if (!inet_.has_value()) return "";
  scope_->RequestStop();
  Settle();
  sockets_.clear();
  Settle();
  scope_.reset();
  stack_.reset();
  while (!inet_->ip.ready.empty()) inet_->ip.ready.PopFront()->events = 0;
  while (!inet_->tcp.output.empty()) inet_->tcp.output.PopFront();
  while (!inet_->tcp.short_of_frames.empty()) inet_->tcp.short_of_frames.PopFront();
  inet_.reset();
  if (pool_->outstanding() != 0) return absl::StrCat(pool_->outstanding(), " frames were not given back");
  return scheduler_.timers().armed() == 0 ? "" : absl::StrCat(scheduler_.timers().armed(), " timers were left");
}

Endpoint WeirStack::At(bool peer, uint16_t port) const {
  if (v6_) return {*IpAddress::Parse(peer ? kPeerIp6 : kHostIp6), port};
  return {IpAddress::V4(peer ? kPeerIp : kHostIp), port};
}

void WeirStack::Return(int number, const absl::Status& status, Outcome outcome) {
  outcome.error = ErrnoOf(status);
  outcome.at_ns = now_ns();
  returned[number] = std::move(outcome);
}

Task<void> WeirStack::Accept(Socket& from, std::string name, int number) {
  absl::StatusOr<TcpStream> stream = co_await from.listener.Accept();
  if (stream.ok()) {
    Socket& socket = sockets_[name];
    socket.stream = *std::move(stream);
    socket.opened = true;
    socket.linger = from.linger;
  }
  Return(number, stream.status());
}

Task<void> WeirStack::Connect(Socket& socket, Endpoint peer, TcpConnectOptions options, int number) {
  Return(number, co_await netstack::Operation<netstack::TcpConnectTraits>(StreamAccess::Backend(socket.stream),
                                                                          {peer, options}));
}

Task<void> WeirStack::Read(Socket& socket, Call call, int number) {
  Bytes bytes(static_cast<size_t>(call.number));
  const iovec into{bytes.data(), bytes.size()};
  if (socket.is_udp) {
    const absl::StatusOr<DatagramInfo> got = co_await socket.udp.Recvmsg({&into, 1}, call.peek);
    bytes.resize(got.ok() ? got->copied : 0);
    Return(number, got.status(), {.value = static_cast<int64_t>(bytes.size()), .data = bytes});
    co_return;
  }
  const absl::StatusOr<size_t> got =
      co_await socket.stream.Recvmsg({&into, 1}, {.peek = call.peek, .wait_all = call.all});
  bytes.resize(got.value_or(0));
  Return(number, got.status(), {.value = static_cast<int64_t>(bytes.size()), .data = bytes});
}

Task<void> WeirStack::Write(Socket& socket, Call call, int number) {
  const iovec from{call.data.data(), call.data.size()};
  size_t taken = 0;
  const absl::Status sent = co_await socket.stream.Sendmsg({&from, 1}, &taken);
  Return(number, sent, {.value = static_cast<int64_t>(taken)});
}

Task<void> WeirStack::SendTo(Socket& socket, Call call, int number) {
  const iovec from{call.data.data(), call.data.size()};
  const bool connected = socket.udp.peer().port != 0;
  const absl::Status sent = co_await socket.udp.Sendmsg({&from, 1}, connected ? Endpoint{} : At(true, call.port));
  Return(number, sent, {.value = call.number});
}

Task<void> WeirStack::CloseWithLinger(Socket& socket, int number) {
  const absl::Status closed = co_await socket.stream.Close(std::chrono::seconds(*socket.linger));
  (void)closed;  // close(2) with SO_LINGER does not tell
  Return(number, absl::OkStatus());
}

absl::Status WeirStack::Listen(Socket& socket, const Call& call) {
  TcpListenOptions options{.backlog = static_cast<int>(call.number)};
  for (const Setting& setting : socket.settings) {
    if (setting.name == "FASTOPEN") options.fast_open = static_cast<int>(setting.value);
  }
  absl::StatusOr<netstack::ListenerBackendPtr> listener = stack_->ListenTcp(At(false, call.port), options);
  if (!listener.ok()) return listener.status();
  socket.listener_backend = listener->get();
  socket.listener = TcpListener(*std::move(listener));
  for (const Setting& setting : socket.settings) {
    if (const absl::Status set = Set(socket, setting); !set.ok()) return set;
  }
  return absl::OkStatus();
}

void WeirStack::StartConnect(Socket& socket, const Call& call, int number) {
  const Endpoint peer = At(true, call.port);
  absl::StatusOr<netstack::StreamBackendPtr> backend = stack_->OpenTcp(peer);
  if (!backend.ok()) return Return(number, backend.status());
  socket.stream = TcpStream(*std::move(backend));
  socket.opened = true;
  TcpConnectOptions options;
  const auto narrow = [](int64_t value) { return static_cast<uint8_t>(value); };
  for (const Setting& setting : socket.settings) {
    const auto value = static_cast<uint32_t>(setting.value);
    if (setting.name == "FASTOPEN_CONNECT") options.fast_open = setting.value != 0;
    if (setting.name == "RCVBUF") options.receive_buffer = value;
    if (setting.name == "USER_TIMEOUT") options.user_timeout_ms = value;
    if (setting.name == "SYNCNT") options.syn_count = value;
    if (setting.name == "MAXSEG") options.max_segment = value;
    if (setting.name == "WINDOW_CLAMP") options.window_clamp = value;
    if (setting.name == "TOS") options.tos = narrow(setting.value);
    if (setting.name == "TTL") options.ttl = narrow(setting.value);
    if (setting.name == "MINTTL") options.min_ttl = narrow(setting.value);
    if (setting.name == "MTU_DISCOVER") options.mtu_discover = static_cast<TcpMtuDiscover>(setting.value);
    if (setting.name == "PORT") options.local = At(false, static_cast<uint16_t>(setting.value));
  }
  for (const Setting& setting : socket.settings) {
    if (setting.name == "FASTOPEN_CONNECT" || setting.name == "PORT") continue;
    if (const absl::Status set = Set(socket, setting); !set.ok()) return Return(number, set);
  }
  spawn_in_->Spawn(Connect(socket, peer, options, number));
}

absl::Status WeirStack::Set(Socket& socket, const Setting& setting) {
  if (socket.is_udp) {
    const auto value = static_cast<uint8_t>(setting.value);
    if (setting.name == "TTL") return socket.udp.SetTtl(value);
    return setting.name == "TOS" ? socket.udp.SetTos(value) : Unknown(setting.name);
  }
  netstack::TcpOptionsBackend* backend = socket.listener_backend;
  if (socket.opened) backend = &StreamAccess::Backend(socket.stream);
  if (setting.name == "FASTOPEN") return absl::OkStatus();
  if (setting.name == "CONGESTION") return backend->SetCongestionControl(setting.text);
  if (setting.name == "LINGER") {
    socket.linger = setting.value < 0 ? std::nullopt : std::optional(setting.value);
    return backend->SetTcpOption(TcpSockOption::kResetOnClose, setting.value == 0);
  }
  if (setting.name.starts_with("KEEP")) {
    const auto value = static_cast<int>(setting.value);
    if (setting.name == "KEEPALIVE") socket.keeps_alive = value != 0;
    if (setting.name == "KEEPIDLE") socket.keepalive.idle_s = value;
    if (setting.name == "KEEPINTVL") socket.keepalive.interval_s = value;
    if (setting.name == "KEEPCNT") socket.keepalive.count = value;
    return backend->SetKeepAlive(socket.keeps_alive ? std::optional(socket.keepalive) : std::nullopt);
  }
  const std::optional<TcpSockOption> option = OptionByName(setting.name);
  if (!option.has_value()) return Unknown(setting.name);
  return backend->SetTcpOption(*option, static_cast<uint64_t>(setting.value));
}

absl::StatusOr<int64_t> WeirStack::Get(Socket& socket, const std::string& name) {
  if (name == "ERROR") return int64_t{ErrnoOf(socket.stream.TakeError())};
  const std::optional<TcpSockOption> option = OptionByName(name);
  if (!option.has_value() || !socket.opened) return Unknown(name);
  const absl::StatusOr<uint64_t> value = StreamAccess::Backend(socket.stream).GetTcpOption(*option);
  if (!value.ok()) return value.status();
  return static_cast<int64_t>(*value);
}

void WeirStack::StartHere(int number, const Call& call, Socket& socket) {
  if (call.verb == "tcp") return Return(number, absl::OkStatus());
  if (call.verb == "listen") return Return(number, Listen(socket, call));
  if (call.verb == "connect" && socket.is_udp) return Return(number, socket.udp.Connect(At(true, call.port)));
  if (call.verb == "connect") return StartConnect(socket, call, number);
  if (call.verb == "accept") return spawn_in_->Spawn(Accept(socket, call.other, number));
  if (call.verb == "read") return spawn_in_->Spawn(Read(socket, call, number));
  if (call.verb == "sendto") return spawn_in_->Spawn(SendTo(socket, call, number));
  if (call.verb == "write") return spawn_in_->Spawn(Write(socket, call, number));
  if (call.verb == "shutdown") return Return(number, socket.stream.ShutdownWrite());
  if (call.verb == "set") {
    const Setting setting{call.other, call.number, call.text};
    if (socket.opened || socket.listener_backend != nullptr || socket.is_udp) return Return(number, Set(socket, setting));
    socket.settings.push_back(setting);
    return Return(number, absl::OkStatus());
  }
  if (call.verb == "get") {
    const absl::StatusOr<int64_t> value = Get(socket, call.other);
    return Return(number, value.status(), {.value = value.value_or(0)});
  }
  if (call.verb == "info" || call.verb == "inq" || call.verb == "outq") {
    const absl::StatusOr<TcpInfo> info = socket.stream.Info();
    if (!info.ok()) return Return(number, info.status());
    return Return(number, absl::OkStatus(),
                  {.value = call.verb == "inq" ? info->unread_bytes : info->unacked_bytes, .info = InfoFields(*info)});
  }
  Return(number, Unknown(call.verb));
}

void WeirStack::Start(int number, const Call& call) {
  Socket& socket = sockets_[call.socket];
  AsyncScope own(TaskContext{&scheduler_, stop_.token()});
  spawn_in_ = call.no_wait ? &own : &*scope_;
  if (call.verb == "udp") {
    absl::StatusOr<UdpSocket> bound = UdpSocket::Bind(*stack_, At(false, call.port));
    Return(number, bound.status());
    if (bound.ok()) {
      socket.udp = *std::move(bound);
      socket.is_udp = true;
    }
  } else if (call.verb == "close") {
    if (socket.linger.value_or(0) > 0) {
      spawn_in_->Spawn(CloseWithLinger(socket, number));
    } else {
      sockets_.erase(call.socket);
      Return(number, absl::OkStatus());
    }
  } else {
    StartHere(number, call, socket);
  }
  Settle();
  own.RequestStop();
  Settle();
}

}  // namespace weir::conformance
