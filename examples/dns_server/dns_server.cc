// dns_server: answers for zones out of zone files, over UDP and TCP (RFC 1035), with EDNS (RFC 6891).
//
//   dns_server --zone=example.com.zone --port=5353                                               over kernel sockets
//   dns_server --zone=example.com.zone --stack=xdp --interface=veth0 --address=10.0.0.2/24      over weir's own stack
//
// From here, when it starts: zone_file.h reads a file, zone.h makes a tree of it, answer_composer.h says what the zone
// answers, answer_writer.h writes that, answer_table.h keeps it. For each query: query.h takes it apart, response.h
// answers it, for udp_server.h or tcp_server.h (whose queries and answers are in tcp_answers.h).
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/dns_server/answer_table.h"
#include "examples/dns_server/tcp_server.h"
#include "examples/dns_server/udp_server.h"
#include "examples/dns_server/zone.h"
#include "examples/dns_server/zone_file.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(std::vector<std::string>, zone, {}, "zone files to serve, with commas between");
ABSL_FLAG(std::vector<std::string>, origin, {},
          "what their names without a final dot begin with, where they do not say it by $ORIGIN: one for each file");
ABSL_FLAG(uint16_t, port, 53, "UDP and TCP port to listen on");
ABSL_FLAG(uint32_t, tcp_idle_timeout, 10, "seconds that a TCP connection may be silent");
ABSL_FLAG(uint32_t, tcp_connections, 65536, "TCP connections of each shard; more are closed at once");

namespace {

absl::StatusOr<dns_server::AnswerTable> LoadTable() {
  const std::vector<std::string> paths = absl::GetFlag(FLAGS_zone), origins = absl::GetFlag(FLAGS_origin);
  if (paths.empty()) return absl::InvalidArgumentError("--zone: name at least one zone file");
  if (!origins.empty() && origins.size() != paths.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--origin: ", origins.size(), " names for ", paths.size(), " files"));
  }
  std::vector<dns_server::Zone> zones;
  for (size_t i = 0; i < paths.size(); ++i) {
    absl::StatusOr<dns_server::ZoneFile> file =
        dns_server::ReadZoneFile(paths[i], origins.empty() ? std::string() : origins[i]);
    if (!file.ok()) return file.status();
    absl::StatusOr<dns_server::Zone> zone = dns_server::Zone::Make(*std::move(file));
    if (!zone.ok()) return zone.status();
    zones.push_back(*std::move(zone));
  }
  return dns_server::AnswerTable::Make(zones);
}

weir::Task<absl::Status> Main(weir::Shard& shard) {
  // The first shard loads it, the others wait; afterwards nobody changes it.
  static const absl::StatusOr<dns_server::AnswerTable> table = LoadTable();
  if (!table.ok()) co_return table.status();
  const weir::Endpoint local{.port = absl::GetFlag(FLAGS_port)};
  absl::StatusOr<weir::UdpSocket> socket =
      shard.BindUdp(local, {.reuse_port = shard.shards() > 1, .receive_queue = weir::UdpBindOptions::kMaxReceiveQueue});
  if (!socket.ok()) co_return socket.status();
  // Also where a free port was asked for.
  const uint16_t port = socket->local().port;
  absl::StatusOr<weir::TcpListener> listener = shard.ListenTcp({.port = port}, {.backlog = 4096});
  if (!listener.ok()) co_return listener.status();
  shard.Ready(absl::StrCat("dns_server of ", table->names(), " names on port ", port));

  const dns_server::TcpLimits limits{.idle_timeout = std::chrono::seconds(absl::GetFlag(FLAGS_tcp_idle_timeout)),
                                     .connections = absl::GetFlag(FLAGS_tcp_connections)};
  weir::AsyncScope servers(co_await weir::CurrentContext(), weir::AsyncScope::OnError::kStopAll);
  servers.Spawn(dns_server::ServeUdp(*std::move(socket), *table));
  servers.Spawn(dns_server::ServeTcp(*std::move(listener), *table, limits));
  co_return co_await servers.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Answers DNS queries out of zone files.", Main);
}
