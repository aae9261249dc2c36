// loadgen: measures a server that echoes over TCP or UDP, or only reads or writes, weir's or any other: requests per
// second and latency, or bytes per second.
//
//   loadgen --target=127.0.0.1:7777 --connections=64 --size=512 --duration=5
//   loadgen --target=10.0.0.2:7777 --connections=64 --rate=20000 --json=result.json
//   loadgen --mode=udp_rr --target=10.0.0.2:7 --connections=4 --pipeline=16
//           --stack=xdp --interface=veth1 --address=10.0.0.1/24
//   loadgen --mode=stream --direction=down --target=10.0.0.2:19 --size=65536
//   loadgen --mode=crr --target=10.0.0.2:7 --connections=16
//
// With crr each connection ends on our side first, and so leaves TIME-WAIT and a port behind: some ten thousand
// are gone soon, unless net.ipv4.tcp_tw_reuse is 1, or with --stack=xdp --tcp=tw_reuse=1, which gives them back after a
// second.
//
// A progress line a second goes to standard error, the table to standard output. The exit code is 1 after any error.
#include <cstdio>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/loadgen/load.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(std::string, target, "", "the server, as ADDRESS:PORT");
ABSL_FLAG(std::string, mode, "rr", "rr (request and response over TCP), udp_rr (over UDP), crr (a TCP connection for "
                                   "each) or stream (bulk over TCP)");
ABSL_FLAG(std::string, direction, "up", "of a stream: up (the server reads), down (it writes) or both (it echoes)");
ABSL_FLAG(int, connections, 1, "connections, opened at the start and kept; UDP: sockets; crr: under way at once");
ABSL_FLAG(int, size, 64, "bytes of a request and of its response; of a write to a stream");
ABSL_FLAG(int, pipeline, 1, "requests of a connection that are under way at once");
ABSL_FLAG(double, duration, 5, "seconds to measure");
ABSL_FLAG(double, warmup, 1, "seconds before the measurement");
ABSL_FLAG(double, rate, 0, "requests per second over all connections, latency counted from when each was due; "
                           "0: as fast as answers come");
ABSL_FLAG(std::string, json, "", "write the result to this file too");

namespace weir::bench {
namespace {

template <typename Value>
struct Name {
  absl::string_view name;
  Value value;
};
constexpr Name<LoadMode> kModes[] = {{"rr", LoadMode::kRequestResponse},
                                     {"udp_rr", LoadMode::kUdpRequestResponse},
                                     {"crr", LoadMode::kConnectRequestResponse},
                                     {"stream", LoadMode::kStream}};
constexpr Name<Direction> kDirections[] = {
    {"up", Direction::kUp}, {"down", Direction::kDown}, {"both", Direction::kBoth}};

template <typename Value, size_t kSize>
bool Find(const Name<Value> (&names)[kSize], absl::string_view name, Value* value) {
  for (const Name<Value>& known : names) {
    if (known.name == name) *value = known.value;
    if (known.name == name) return true;
  }
  return false;
}

absl::StatusOr<LoadOptions> OptionsFromFlags() {
  LoadOptions options;
  absl::StatusOr<Endpoint> target = Endpoint::Parse(absl::GetFlag(FLAGS_target));
  if (!target.ok() || target->ip.is_any() || target->port == 0) {
    return absl::InvalidArgumentError("--target=ADDRESS:PORT is missing or incomplete");
  }
  options.target = *target;
  options.connections = absl::GetFlag(FLAGS_connections);
  options.pipeline = absl::GetFlag(FLAGS_pipeline);
  const int size = absl::GetFlag(FLAGS_size);
  if (options.connections < 1 || options.pipeline < 1 || size < 1 || size > 1 << 30) {
    return absl::InvalidArgumentError("--connections, --pipeline and --size are at least 1");
  }
  options.size = static_cast<size_t>(size);
  if (!Find(kModes, absl::GetFlag(FLAGS_mode), &options.mode)) {
    return absl::InvalidArgumentError("--mode is rr, udp_rr, crr or stream");
  }
  if (!Find(kDirections, absl::GetFlag(FLAGS_direction), &options.direction)) {
    return absl::InvalidArgumentError("--direction is up, down or both");
  }
  const bool udp = options.mode == LoadMode::kUdpRequestResponse;
  if (udp && (options.size < kUdpRequestTag || options.size > kUdpLargest)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--size is ", kUdpRequestTag, " to ", kUdpLargest, " in a datagram"));
  }
  options.warmup_ns = static_cast<Nanos>(absl::GetFlag(FLAGS_warmup) * 1e9);
  options.duration_ns = static_cast<Nanos>(absl::GetFlag(FLAGS_duration) * 1e9);
  options.rate = absl::GetFlag(FLAGS_rate);
  if (options.warmup_ns < 0 || options.duration_ns <= 0 || options.rate < 0) {
    return absl::InvalidArgumentError("--duration is above 0, --warmup and --rate are not below it");
  }
  const bool stream = options.mode == LoadMode::kStream, crr = options.mode == LoadMode::kConnectRequestResponse;
  if ((stream && options.rate > 0) || ((stream || crr) && options.pipeline > 1)) {
    return absl::InvalidArgumentError("a stream has no --rate, and neither it nor crr a --pipeline");
  }
  return options;
}

std::string Json(const Shard& shard, const LoadOptions& options, const LoadResult& result) {
  const auto us = [&](double quantile) { return static_cast<double>(result.latency_ns.Quantile(quantile)) / 1e3; };
  return absl::StrFormat(
      "{\"mode\": \"%s\", \"direction\": \"%s\", \"stack\": \"%s\", \"connections\": %d, \"size\": %d, "
      "\"duration_s\": %.3f, \"requests\": %d, \"all_requests\": %d, \"all_bytes\": %d, \"lost\": %d, \"errors\": %d, "
      "\"rps\": %.1f, \"bytes_per_s\": %.1f, "
      "\"latency_us\": {\"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}}\n",
      absl::GetFlag(FLAGS_mode), options.mode == LoadMode::kStream ? absl::GetFlag(FLAGS_direction) : "both",
      shard.options().stack == StackKind::kXdp ? "xdp" : "kernel", options.connections, options.size, result.seconds,
      result.requests, result.all_requests, result.all_bytes, result.lost, result.errors,
      static_cast<double>(result.requests) / result.seconds, static_cast<double>(result.bytes) / result.seconds,
      us(0.5), us(0.9), us(0.99), us(0.999), static_cast<double>(result.latency_ns.max()) / 1e3);
}

void PrintTable(const LoadOptions& options, const LoadResult& result) {
  if (options.mode == LoadMode::kStream) {
    std::printf("errors        %12lu\nMB/s          %12.1f\n", result.errors,
                static_cast<double>(result.bytes) / result.seconds / 1e6);
    return;
  }
  std::printf("requests      %12lu\nlost          %12lu\nerrors        %12lu\n", result.requests, result.lost,
              result.errors);
  std::printf("requests/s    %12.0f\nMB/s          %12.1f\n", static_cast<double>(result.requests) / result.seconds,
              static_cast<double>(result.bytes) / result.seconds / 1e6);
  constexpr struct {
    const char* name;
    double quantile;
  } kRows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
  for (const auto& row : kRows) {
    std::printf("%-5s us      %12.1f\n", row.name, static_cast<double>(result.latency_ns.Quantile(row.quantile)) / 1e3);
  }
}

Task<LoadResult> RunLoad(Shard& shard, const LoadOptions& options) {
  switch (options.mode) {
    case LoadMode::kRequestResponse:
      return RunRequestResponse(shard, options);
    case LoadMode::kUdpRequestResponse:
      return RunUdpRequestResponse(shard, options);
    case LoadMode::kConnectRequestResponse:
      return RunConnectRequestResponse(shard, options);
    case LoadMode::kStream:
      return RunStream(shard, options);
  }
}

Task<absl::Status> Main(Shard& shard) {
  if (shard.options().shards != 1) co_return absl::InvalidArgumentError("loadgen runs one shard: leave --shards at 1");
  absl::StatusOr<LoadOptions> options = OptionsFromFlags();
  if (!options.ok()) co_return options.status();
  const LoadResult result = co_await RunLoad(shard, *options);
  PrintTable(*options, result);
  if (const std::string path = absl::GetFlag(FLAGS_json); !path.empty()) {
    std::FILE* file = std::fopen(path.c_str(), "we");
    if (file == nullptr) co_return absl::NotFoundError(absl::StrCat("--json: cannot write ", path));
    std::fputs(Json(shard, *options, result).c_str(), file);
    std::fclose(file);
  }
  if (result.errors > 0) co_return absl::UnavailableError(absl::StrCat(result.errors, " errors: ", result.first_error));
  co_return absl::OkStatus();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Measures a server that echoes over TCP or UDP, or only reads or writes.",
                            weir::bench::Main);
}
