// tcp_proxy: passes connections on to another host, both ways, without copying a byte.
//
//   tcp_proxy --port=8080 --target=www.example.org:80                                                over kernel sockets
//   tcp_proxy --port=80 --target=10.0.0.1:80 --stack=xdp --interface=veth0 --address=10.0.0.2/24    over weir's own stack
//
// What ends one side ends the other in the same way. A FIN is passed on as FIN, and the other direction goes on; a reset
// as reset. A target that cannot be reached, or not in time, and a connection on which nothing moves for --idle_timeout
// are a reset for whoever is still there: a FIN would say that all had come. A side that takes nothing stops the reading
// of the other: what a connection holds is bounded by the buffers of its two sockets and one RecvBuffer each way.
//
// SIGTERM: no more connections are taken, and those that are open have --drain to end by themselves. Names are asked for
// on the kernel's sockets, with either stack.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_any.h"
#include "runtime/io/resolver.h"

ABSL_FLAG(uint16_t, port, 8080, "TCP port to listen on");
ABSL_FLAG(std::string, target, "", "where connections go, as HOST:PORT, ADDRESS:PORT or [IPV6-ADDRESS]:PORT");
ABSL_FLAG(absl::Duration, connect_timeout, absl::Seconds(5), "how long each address of the target may take to answer");
ABSL_FLAG(absl::Duration, idle_timeout, absl::Minutes(5),
          "how long nothing may move in either direction; ends up to a quarter later");
ABSL_FLAG(absl::Duration, drain, absl::Seconds(3), "how long connections may go on after SIGTERM; at most 4s");

namespace {

using weir::Task;
using weir::TcpStream;

// What the flags say.
struct Settings {
  weir::Endpoint target;  // without an address when `host` is to be asked for
  std::string host;
  std::chrono::nanoseconds connect_timeout = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_connect_timeout));
  std::chrono::nanoseconds idle_timeout = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_idle_timeout));
  // The host gives up on tasks that do not end within HostOptions::drain_seconds.
  std::chrono::nanoseconds drain =
      absl::ToChronoNanoseconds(std::min(absl::GetFlag(FLAGS_drain), absl::Seconds(4)));
};

absl::StatusOr<Settings> ReadSettings() {
  Settings settings;
  const std::string text = absl::GetFlag(FLAGS_target);
  const absl::StatusOr<weir::Endpoint> literal = weir::Endpoint::Parse(text);
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (literal.ok() && !literal->ip.is_any()) {
    settings.target = *literal;
  } else if (colon != std::string::npos && colon > 0 && text.find(':') == colon &&
             absl::SimpleAtoi(text.substr(colon + 1), &port) && port < 65536) {
    settings.host = text.substr(0, colon);
    settings.target.port = static_cast<uint16_t>(port);
  }
  if (settings.target.port == 0) {
    return absl::InvalidArgumentError(absl::StrCat("--target=", text, ": takes HOST:PORT, such as 10.0.0.1:80"));
  }
  if (settings.connect_timeout.count() <= 0 || settings.idle_timeout.count() <= 0) {
    return absl::InvalidArgumentError("--connect_timeout and --idle_timeout take a time such as 10s, or inf");
  }
  return settings;
}

// Whose address it is may change while we run, so the name is asked for again for each connection.
Task<absl::StatusOr<std::vector<weir::Endpoint>>> Resolve(weir::Resolver& resolver, const Settings& settings) {
  std::vector<weir::Endpoint> targets;
  if (settings.host.empty()) {
    targets.push_back(settings.target);
    co_return targets;
  }
  absl::StatusOr<std::vector<weir::IpAddress>> ips = co_await resolver.Resolve(settings.host);
  if (!ips.ok()) co_return ips.status();
  for (const weir::IpAddress& ip : *ips) targets.push_back({ip, settings.target.port});
  co_return targets;
}

// The first of the target's addresses that takes the connection.
Task<absl::StatusOr<TcpStream>> ConnectTarget(weir::Shard& shard, weir::Resolver& resolver, const Settings& settings) {
  absl::StatusOr<std::vector<weir::Endpoint>> targets = co_await Resolve(resolver, settings);
  if (!targets.ok()) co_return targets.status();
  absl::Status failed;
  for (const weir::Endpoint& target : *targets) {
    absl::StatusOr<TcpStream> stream = co_await weir::WithTimeout(shard.ConnectTcp(target), settings.connect_timeout);
    if (stream.ok() || absl::IsCancelled(stream.status())) co_return stream;
    failed = stream.status();
  }
  co_return failed;
}

// One direction, until its FIN has been passed on.
Task<absl::Status> Pump(TcpStream& from, TcpStream& to) {
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> data = co_await from.Recvmsg();
    if (!data.ok()) co_return data.status();
    if (data->empty()) co_return to.ShutdownWrite();
    absl::Status sent = co_await to.Sendmsg(*std::move(data));  // no byte is copied; waits while `to` is full
    if (!sent.ok()) co_return sent;
  }
}

Task<absl::Status> Splice(TcpStream& client, TcpStream& target) {
  weir::AsyncScope directions(co_await weir::CurrentContext(), weir::AsyncScope::OnError::kStopAll);
  directions.Spawn(Pump(client, target));
  directions.Spawn(Pump(target, client));
  co_return co_await directions.Join();
}

// What both peers have sent and taken so far.
uint64_t Moved(const TcpStream& client, const TcpStream& target) {
  uint64_t bytes = 0;
  for (const TcpStream* stream : {&client, &target}) {
    const absl::StatusOr<weir::TcpInfo> info = stream->Info();
    if (info.ok()) bytes += info->bytes_received + info->bytes_acked;
  }
  return bytes;
}

// Returns when nothing has moved for `timeout`, or when it is stopped. It looks at the connections' counters now and then,
// which costs the data nothing, and sees a slow peer take bytes of a send that still waits.
Task<absl::Status> Idle(const TcpStream& client, const TcpStream& target, std::chrono::nanoseconds timeout) {
  constexpr int kLooks = 4;
  uint64_t moved = Moved(client, target);
  for (int unchanged = 0; unchanged < kLooks; ++unchanged) {
    absl::Status slept = co_await weir::Sleep(timeout / kLooks);
    if (!slept.ok()) co_return slept;
    if (const uint64_t now = Moved(client, target); now != std::exchange(moved, now)) unchanged = -1;
  }
  co_return absl::DeadlineExceededError("idle");
}

Task<void> Serve(weir::Shard& shard, weir::Resolver& resolver, const Settings& settings, TcpStream client) {
  absl::StatusOr<TcpStream> target = co_await ConnectTarget(shard, resolver, settings);
  if (!target.ok()) {
    client.Reset();
    co_return;
  }
  for (TcpStream* stream : {&client, &*target}) stream->SetNoDelay(true).IgnoreError();  // pieces go on as they came
  const std::variant<absl::Status, absl::Status> ended =
      co_await weir::WhenAny(Splice(client, *target), Idle(client, *target, settings.idle_timeout));
  if (ended.index() == 0 && std::get<0>(ended).ok()) co_return;  // both have said all, and it is on its way
  client.Reset();
  target->Reset();
}

// After a stop: the connections go on until the time is up.
Task<absl::Status> Drain(weir::AsyncScope& connections, std::chrono::nanoseconds time) {
  absl::Status slept = co_await weir::Sleep(time);
  connections.RequestStop();
  co_return slept;
}

Task<absl::Status> Main(weir::Shard& shard) {
  const absl::StatusOr<Settings> settings = ReadSettings();
  if (!settings.ok()) co_return settings.status();
  absl::StatusOr<std::unique_ptr<weir::Resolver>> resolver = weir::Resolver::Create(shard.reactor());
  if (!resolver.ok()) co_return resolver.status();
  const absl::StatusOr<std::vector<weir::Endpoint>> targets = co_await Resolve(**resolver, *settings);
  if (!targets.ok()) co_return targets.status();  // better now than at the first connection
  absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = absl::GetFlag(FLAGS_port)});
  if (!listener.ok()) co_return listener.status();
  shard.Ready(absl::StrCat("tcp_proxy on port ", listener->local().port, " to ", absl::GetFlag(FLAGS_target)));

  // Not stopped with the shard, but by Drain.
  const weir::TaskContext goes_on{.scheduler = (co_await weir::CurrentContext()).scheduler, .stop = {}};
  weir::AsyncScope connections(goes_on), drain(goes_on);
  absl::Status ended;
  while (ended.ok()) {
    absl::StatusOr<TcpStream> client = co_await listener->Accept();
    ended = client.status();
    if (client.ok()) connections.Spawn(Serve(shard, **resolver, *settings, *std::move(client)));
  }
  listener = ended;  // closed: who comes now is refused
  drain.Spawn(Drain(connections, settings->drain));
  co_await connections.Join();
  drain.RequestStop();
  co_await drain.Join();
  co_return ended;
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Passes TCP connections on to another host.", Main);
}
