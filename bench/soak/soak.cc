#include "bench/soak/soak.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_output.h"

namespace weir::bench {
namespace {

using std::chrono::minutes;
using std::chrono::nanoseconds;

constexpr uint16_t kPort = 7;
constexpr size_t kConnections = 40;  // at a time: enough to want more frames than there are
constexpr uint32_t kServerFrames = 2048, kClientFrames = 8192;
// Nothing that is tried here takes so long in virtual time; what does is stuck.
constexpr minutes kStuck(30);
constexpr Nanos kStuckNs = 40 * 60 * kSecond;

uint8_t PatternAt(uint8_t key, uint64_t at) { return static_cast<uint8_t>(at * 131 + (at >> 8) * 7 + key); }

netstack::IpOptions Options(uint8_t number) {
  netstack::InterfaceOptions interface{.addresses = {{IpAddress::V4(0x0a000000u + number), 24}}};
  interface.device.mac.bytes = {2, 0, 0, 0, 0, number};
  return {.interfaces = {interface}, .secret = {number, 1}};
}

const Endpoint kServer{IpAddress::V4(0x0a000002), kPort};

}  // namespace

Soak::Host::Host(uint8_t number, uint32_t frames, runtime::Scheduler& scheduler)
    : pool(*runtime::FramePool::Create({.frames = frames})),
      inet(Options(number), {}, *pool, scheduler.timers()),
      stack(inet, scheduler) {}

uint32_t Soak::Host::frames_out() const {
  return pool->outstanding() + (inet.ip.heap() == nullptr ? 0 : inet.ip.heap()->outstanding());
}

uint32_t Soak::Host::held() const {
  return pool->charged() + (inet.ip.heap() == nullptr ? 0 : inet.ip.heap()->charged());
}

Soak::Soak(uint64_t seed)
    : random_(seed),
      server_(2, kServerFrames, scheduler_),
      client_(1, kClientFrames, scheduler_),
      link_(server_.inet, client_.inet),
      listener_(*TcpListener::Listen(server_.stack, {.port = kPort}, {.backlog = 1024})),
      udp_server_(*UdpSocket::Bind(server_.stack, {.port = kPort}, {.receive_queue = 128})),
      udp_client_(*UdpSocket::Bind(client_.stack, {.port = kPort})),
      scope_(std::make_unique<AsyncScope>(TaskContext{&scheduler_, {}})) {
  scope_->Spawn(Accept());
  scope_->Spawn(Open());
  scope_->Spawn(TakeFramesAway(server_));
  scope_->Spawn(TakeFramesAway(client_));
  scope_->Spawn(SendDatagrams());
  scope_->Spawn(KeepDatagrams());
}

Soak::~Soak() {
  scope_->RequestStop();
  RunUntil([this] { return scope_->live() == 0; }, kStuckNs);
}

runtime::SleepOperation Soak::Pause(uint64_t most_us) {
  return Sleep(nanoseconds(1 + static_cast<Nanos>(Below(most_us)) * kMicrosecond));
}

void Soak::Fail(const std::string& what) {
  if (trouble_.empty()) trouble_ = what;
}

// ---- time

void Soak::Turn() {
  const Nanos now_ns = scheduler_.now_ns();
  size_t work = link_.Carry(now_ns);
  for (Host* host : {&server_, &client_}) host->stack.RunWakeups();
  work += scheduler_.RunReady();
  scheduler_.timers().Advance(now_ns);
  for (Host* host : {&server_, &client_}) {
    TcpFlush(host->inet.tcp, now_ns);
    work += host->inet.ip.interfaces.front()->device.tx_size() + !host->inet.ip.ready.empty();
  }
  counts_.most_held = std::max(counts_.most_held, server_.held());
  counts_.fewest_free = std::min(counts_.fewest_free, server_.pool->free_count());
  Nanos next_ns = now_ns + kMicrosecond;
  if (work == 0 && !scheduler_.has_ready()) {
    const Nanos timer_ns = scheduler_.timers().NextDeadline();
    if (timer_ns != kNever) next_ns = std::max(next_ns, timer_ns);
  }
  scheduler_.set_now_ns(next_ns);
}

bool Soak::RunUntil(const std::function<bool()>& done, Nanos at_most_ns) {
  const Nanos end_ns = scheduler_.now_ns() + at_most_ns;
  while (!done()) {
    if (scheduler_.now_ns() > end_ns) return false;
    Turn();
  }
  return true;
}

bool Soak::Round() {
  ++counts_.rounds;
  const Nanos end_ns = scheduler_.now_ns() + kSecond;
  RunUntil([&] { return scheduler_.now_ns() >= end_ns || !trouble_.empty(); }, kStuckNs);
  return trouble_.empty();
}

bool Soak::Finish() {
  stopping_ = true;
  if (!RunUntil([this] { return sides_ == 0; }, kStuckNs)) Fail(absl::StrCat(sides_, " programs never ended"));
  scope_->RequestStop();
  RunUntil([this] { return scope_->live() == 0; }, kStuckNs);
  udp_server_ = UdpSocket();
  udp_client_ = UdpSocket();
  // TIME-WAIT, and datagrams of which a fragment was lost, end by their timers.
  const auto over = [](Host& host) {
    const netstack::IpContext& ip = host.inet.ip;
    return host.inet.tcp.connections() == 0 && ip.reassembly.datagrams() == 0 && ip.interfaces.front()->device.tx_empty();
  };
  if (!RunUntil([&] { return over(server_) && over(client_); }, kStuckNs)) Fail("connections were left");
  for (Host* host : {&server_, &client_}) {
    const char* name = host == &server_ ? "server" : "client";
    if (host->frames_out() != 0) Fail(absl::StrCat(host->frames_out(), " frames of the ", name, " were not given back"));
    if (host->held() != 0) Fail(absl::StrCat(host->held(), " frames of the ", name, " count against somebody"));
    if (!host->inet.tcp.leftovers.empty()) Fail(absl::StrCat("control blocks of the ", name, " were left"));
  }
  return trouble_.empty();
}

// ---- connections

Soak::ConnectionPtr Soak::NewConnection() {
  auto connection = std::make_shared<Connection>();
  // Mostly small, some of megabytes.
  const auto draw = [this] { return Below(uint64_t{1} << Below(22)); };
  connection->up = {.bytes = draw(), .key = static_cast<uint8_t>(random_())};
  connection->down = {.bytes = draw(), .key = static_cast<uint8_t>(random_())};
  connection->client = static_cast<Reader>(Below(5));
  connection->server = static_cast<Reader>(Below(6));
  // One in eight is broken off, by one of them.
  if (Below(8) == 0) {
    (Below(2) == 0 ? connection->client : connection->server) = Below(2) == 0 ? Reader::kResets : Reader::kCloses;
  }
  if (connection->server == Reader::kEchoes) connection->down = connection->up;
  return connection;
}

Task<void> Soak::Open() {
  while (!stopping_) {
    if (sides_ < 2 * kConnections) scope_->Spawn(Client(NewConnection()));
    if (!(co_await Pause(20'000)).ok()) co_return;
  }
}

Task<void> Soak::Client(ConnectionPtr connection) {
  ++sides_;
  absl::StatusOr<TcpStream> stream = co_await TcpStream::Connect(client_.stack, kServer);
  if (stream.ok()) {
    ++counts_.connections;
    opened_[stream->local().port] = connection;
    SideEnded(*connection, co_await WithTimeout(Side(*stream, *connection, /*client=*/true), kStuck));
  } else if (!absl::IsCancelled(stream.status())) {
    Fail(absl::StrCat("connect: ", stream.status().ToString()));
  }
  --sides_;
}

Task<void> Soak::Accept() {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener_.Accept();
    if (!stream.ok()) co_return;
    const auto opened = opened_.find(stream->peer().port);
    if (opened == opened_.end()) {
      Fail("a connection that nobody opened");
      continue;
    }
    ConnectionPtr connection = std::move(opened->second);
    opened_.erase(opened);
    scope_->Spawn(Server(*std::move(stream), std::move(connection)));
  }
}

Task<void> Soak::Server(TcpStream stream, ConnectionPtr connection) {
  ++sides_;
  SideEnded(*connection, co_await WithTimeout(Side(stream, *connection, /*client=*/false), kStuck));
  --sides_;
}

void Soak::SideEnded(const Connection& connection, const absl::Status& status) {
  if (status.ok() || connection.broken || absl::IsCancelled(status)) {
    ++(connection.broken ? counts_.broken : counts_.whole);
    return;
  }
  Fail(absl::StrCat("client ", static_cast<int>(connection.client), ", server ", static_cast<int>(connection.server),
                    ", up ", connection.up.received, " of ", connection.up.bytes, ", down ", connection.down.received,
                    " of ", connection.down.bytes, ": ", status.ToString()));
}

Task<absl::Status> Soak::Side(TcpStream& stream, Connection& connection, bool client) {
  stream.SetNoDelay(Below(2) == 0).IgnoreError();
  if (Below(4) == 0) stream.SetReceiveBuffer(static_cast<uint32_t>(8192 + Below(1 << 18))).IgnoreError();
  if (!client && connection.server == Reader::kEchoes) co_return co_await Echo(stream, connection);
  AsyncScope both(co_await CurrentContext(), AsyncScope::OnError::kStopAll);
  both.Spawn(Send(stream, client ? connection.up : connection.down));
  if (client) {
    both.Spawn(Read(stream, connection, connection.down, connection.client));
  } else {
    both.Spawn(Read(stream, connection, connection.up, connection.server));
  }
  co_return co_await both.Join();
}

Task<absl::Status> Soak::Echo(TcpStream& stream, Connection& connection) {
  for (;;) {
    absl::StatusOr<RecvBuffer> got = co_await stream.Recvmsg();
    if (!got.ok()) co_return got.status();
    if (got->empty()) break;
    Take(connection.up, got->buffers());
    absl::Status sent = co_await stream.Sendmsg(*std::move(got));
    if (!sent.ok()) co_return sent;
  }
  absl::Status ended = End(connection, connection.up);
  co_return ended.ok() ? stream.ShutdownWrite() : ended;
}

Task<absl::Status> Soak::Send(TcpStream& stream, const Flow& out) {
  std::vector<uint8_t> block;
  for (uint64_t at = 0; at < out.bytes;) {
    block.resize(std::min(out.bytes - at, 1 + Below(uint64_t{1} << Below(17))));
    for (size_t i = 0; i < block.size(); ++i) block[i] = PatternAt(out.key, at + i);
    SendBuffer frames = Below(2) == 0 ? stream.NewSendBuffer(block.size()) : SendBuffer();
    absl::Status sent;
    if (!frames.empty()) {
      size_t filled = 0;
      for (const iovec& piece : frames.writable()) {
        std::memcpy(piece.iov_base, block.data() + filled, piece.iov_len);
        filled += piece.iov_len;
      }
      at += filled;
      sent = co_await stream.Sendmsg(std::move(frames));
    } else {
      const iovec from{block.data(), block.size()};
      at += block.size();
      sent = co_await stream.Sendmsg({&from, 1});
    }
    if (sent.ok() && Below(50) == 0) sent = co_await Pause(20'000);
    if (!sent.ok()) co_return sent;
  }
  co_return stream.ShutdownWrite();
}

Task<absl::Status> Soak::Read(TcpStream& stream, Connection& connection, Flow& in, Reader reader) {
  if (reader == Reader::kCopies) co_return co_await Copy(stream, connection, in);
  const bool breaks = reader == Reader::kResets || reader == Reader::kCloses;
  const uint64_t break_at = breaks ? Below(in.bytes + 1) : ~uint64_t{0};
  std::vector<RecvBuffer> kept;
  for (;;) {
    if (in.received >= break_at) {
      connection.broken = true;
      if (reader == Reader::kResets) stream.Reset();
      co_return absl::AbortedError("on purpose");
    }
    // Whoever keeps much waits in vain for more, until he gives back.
    absl::StatusOr<RecvBuffer> got = co_await WithTimeout(stream.Recvmsg(), nanoseconds(200 * kMillisecond));
    if (absl::IsDeadlineExceeded(got.status())) {
      kept.clear();
      continue;
    }
    if (!got.ok()) co_return got.status();
    if (got->empty()) break;
    Take(in, got->buffers());
    Keep(kept, *std::move(got), reader);
    if (reader == Reader::kSlow && !(co_await Pause(50'000)).ok()) co_return absl::CancelledError("stopped");
  }
  // Some keep what they have for longer than the connection.
  if (!kept.empty() && Below(2) == 0) scope_->Spawn(GiveBackLater(std::move(kept)));
  co_return End(connection, in);
}

// Some of what came: whole, or in pieces of it that hold its frames.
void Soak::Keep(std::vector<RecvBuffer>& kept, RecvBuffer got, Reader reader) {
  if (reader == Reader::kKeeps) {
    kept.push_back(std::move(got));
  } else if (reader == Reader::kPieces) {
    for (int i = 0; i < 4 && got.size() > 1; ++i) {
      RecvBuffer piece = got.Split(1 + Below(got.size() - 1));
      if (Below(2) == 0) kept.push_back(std::move(piece));
    }
    kept.push_back(RecvBuffer(got.Share()));
  }
  if (Below(64) == 0) kept.clear();
}

Task<void> Soak::GiveBackLater(std::vector<RecvBuffer> kept) {
  static_cast<void>(co_await Pause(2'000'000));
  kept.clear();
}

Task<absl::Status> Soak::Copy(TcpStream& stream, Connection& connection, Flow& in) {
  std::vector<uint8_t> memory(1 + Below(1 << 16));
  for (;;) {
    const size_t half = memory.size() / 2;
    const iovec into[] = {{memory.data(), half}, {memory.data() + half, memory.size() - half}};
    absl::StatusOr<size_t> got = co_await stream.Recvmsg(into);
    if (!got.ok()) co_return got.status();
    if (*got == 0) co_return End(connection, in);
    const iovec all{memory.data(), *got};
    Take(in, {&all, 1});
  }
}

void Soak::Take(Flow& in, std::span<const iovec> got) {
  for (const iovec& piece : got) {
    const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
    for (size_t i = 0; i < piece.iov_len; ++i) {
      if (bytes[i] != PatternAt(in.key, in.received + i)) return Fail("other bytes arrived than were sent");
    }
    in.received += piece.iov_len;
    counts_.bytes += piece.iov_len;
  }
  if (in.received > in.bytes) Fail("more arrived than was sent");
}

absl::Status Soak::End(const Connection& connection, const Flow& in) {
  if (in.received == in.bytes || connection.broken) return absl::OkStatus();
  return absl::DataLossError("the end came early");
}

// ---- around them

// Leaves the host at times with hardly any frame.
Task<void> Soak::TakeFramesAway(Host& host) {
  std::vector<runtime::Frame*> taken;
  for (absl::Status slept; slept.ok() && !stopping_;) {
    slept = co_await Pause(500'000);
    const uint64_t leave = Below(host.pool->size() / 4);
    while (host.pool->free_count() > leave) taken.push_back(host.pool->Alloc());
    if (slept.ok()) slept = co_await Pause(100'000);
    for (runtime::Frame* frame : taken) runtime::Unref(frame);
    taken.clear();
  }
}

Task<void> Soak::SendDatagrams() {
  const std::vector<uint8_t> bytes(8000, 'x');
  while (!stopping_) {
    for (uint64_t left = Below(200); left > 0; --left) {
      const iovec from{const_cast<uint8_t*>(bytes.data()), 1 + Below(uint64_t{1} << Below(13))};
      static_cast<void>(co_await udp_client_.Sendmsg({&from, 1}, kServer));  // some find no frame
    }
    if (!(co_await Pause(100'000)).ok()) co_return;
  }
}

Task<void> Soak::KeepDatagrams() {
  std::vector<Datagram> kept;
  for (;;) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(udp_server_.Recvmsg(), nanoseconds(100 * kMillisecond));
    if (absl::IsDeadlineExceeded(got.status())) {
      kept.clear();
      continue;
    }
    if (!got.ok()) co_return;
    ++counts_.datagrams;
    if (Below(2) == 0) kept.push_back(*std::move(got));
    if (Below(256) == 0) kept.clear();
  }
}

}  // namespace weir::bench
