// iperf3_client: what `iperf3 -c` does, as a weir program: sends to `iperf3 -s`, or receives from it with --reverse, and
// compares the bytes that both sides counted. Over weir's own stack or kernel sockets.
//
//   iperf3_client --target=10.91.0.1:5201 --bytes=10000000 --reverse --stack=xdp --interface=weir0 --address=10.91.0.2/24
//
// The protocol (iperf3's src/iperf_api.h): a control connection, on which states are single bytes and parameters and
// results are JSON behind a length of four bytes; and a connection for the data. Each begins with the same cookie.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"

ABSL_FLAG(std::string, target, "", "the iperf3 server, as ADDRESS:PORT");
ABSL_FLAG(uint64_t, bytes, 1 << 20, "bytes to send, or with --reverse to receive at least");
ABSL_FLAG(bool, reverse, false, "the server sends");

namespace {

using weir::Task;

enum State : uint8_t {
  kTestStart = 1,
  kTestRunning = 2,
  kTestEnd = 4,
  kParamExchange = 9,
  kCreateStreams = 10,
  kExchangeResults = 13,
  kDisplayResults = 14,
  kIperfDone = 16,
};
constexpr size_t kCookieSize = 37;  // the last byte is zero
constexpr uint32_t kMaxJson = 1 << 20;

Task<absl::Status> Write(weir::TcpStream& stream, std::string bytes) {
  const iovec from{bytes.data(), bytes.size()};
  co_return co_await stream.Sendmsg({&from, 1});
}

Task<absl::StatusOr<std::string>> Read(weir::TcpStream& stream, size_t n) {
  std::string bytes(n, '\0');
  for (size_t got = 0; got < n;) {
    const iovec into{bytes.data() + got, n - got};
    const absl::StatusOr<size_t> count = co_await stream.Recvmsg({&into, 1});
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return absl::UnavailableError("the server closed the control connection");
    got += *count;
  }
  co_return bytes;
}

Task<absl::Status> Expect(weir::TcpStream& control, State state) {
  const absl::StatusOr<std::string> got = co_await Read(control, 1);
  if (!got.ok()) co_return got.status();
  if (static_cast<uint8_t>((*got)[0]) == state) co_return absl::OkStatus();
  co_return absl::InternalError(absl::StrCat("state ", static_cast<int>((*got)[0]), " where ", state, " was due"));
}

Task<absl::Status> WriteState(weir::TcpStream& control, State state) {
  co_return co_await Write(control, std::string(1, static_cast<char>(state)));
}

Task<absl::Status> WriteJson(weir::TcpStream& control, const std::string& json) {
  const auto size = static_cast<uint32_t>(json.size());
  const std::string length = {static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                              static_cast<char>(size >> 8), static_cast<char>(size)};
  co_return co_await Write(control, length + json);
}

Task<absl::StatusOr<std::string>> ReadJson(weir::TcpStream& control) {
  const absl::StatusOr<std::string> length = co_await Read(control, 4);
  if (!length.ok()) co_return length.status();
  uint32_t size = 0;
  for (char byte : *length) size = size << 8 | static_cast<uint8_t>(byte);
  if (size > kMaxJson) co_return absl::InternalError(absl::StrCat("results of ", size, " bytes"));
  co_return co_await Read(control, size);
}

// The number behind "bytes": in the server's results, of which there is one for the only stream.
uint64_t BytesIn(const std::string& results) {
  const size_t at = results.find("\"bytes\":");
  return at == std::string::npos ? 0 : std::strtoull(results.c_str() + at + 8, nullptr, 10);
}

Task<absl::StatusOr<uint64_t>> SendData(weir::TcpStream& data, uint64_t bytes) {
  const std::string block(128 << 10, 'x');
  for (uint64_t sent = 0; sent < bytes;) {
    const uint64_t n = std::min<uint64_t>(block.size(), bytes - sent);
    const iovec from{const_cast<char*>(block.data()), n};
    const absl::Status status = co_await data.Sendmsg({&from, 1});
    if (!status.ok()) co_return status;
    sent += n;
  }
  co_return bytes;
}

// At least `bytes`; what is still under way then is not read.
Task<absl::StatusOr<uint64_t>> ReceiveData(weir::TcpStream& data, uint64_t bytes) {
  for (uint64_t received = 0; received < bytes;) {
    const absl::StatusOr<weir::RecvBuffer> got = co_await data.Recvmsg();
    if (!got.ok()) co_return got.status();
    if (got->empty()) co_return absl::UnavailableError("the server closed the data connection");
    received += got->size();
    if (received >= bytes) co_return received;
  }
  co_return 0;
}

std::string Results(uint64_t bytes) {
  return absl::StrCat(R"({"cpu_util_total":0,"cpu_util_user":0,"cpu_util_system":0,"sender_has_retransmits":0,)",
                      R"("streams":[{"id":1,"bytes":)", bytes,
                      R"(,"retransmits":-1,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1}]})");
}

Task<absl::Status> Finish(weir::TcpStream& control, uint64_t bytes, bool reverse) {
  for (absl::Status status : {co_await WriteState(control, kTestEnd), co_await Expect(control, kExchangeResults),
                              co_await WriteJson(control, Results(bytes))}) {
    if (!status.ok()) co_return status;
  }
  const absl::StatusOr<std::string> results = co_await ReadJson(control);
  if (!results.ok()) co_return results.status();
  const uint64_t theirs = BytesIn(*results);
  // The sender is ahead: the end is said on another connection than the data comes by.
  if (reverse ? theirs < bytes : theirs > bytes || theirs < bytes / 2) {
    co_return absl::DataLossError(absl::StrCat("we counted ", bytes, " bytes, the server ", theirs));
  }
  absl::Status status = co_await Expect(control, kDisplayResults);
  if (!status.ok()) co_return status;
  std::printf("iperf3_client: %llu bytes %s, the server counted %llu\n", static_cast<unsigned long long>(bytes),
              reverse ? "received" : "sent", static_cast<unsigned long long>(theirs));
  co_return co_await WriteState(control, kIperfDone);
}

Task<absl::Status> Main(weir::Shard& shard) {
  const absl::StatusOr<weir::Endpoint> target = weir::Endpoint::Parse(absl::GetFlag(FLAGS_target));
  if (!target.ok()) co_return target.status();
  const uint64_t bytes = absl::GetFlag(FLAGS_bytes);
  const bool reverse = absl::GetFlag(FLAGS_reverse);
  shard.Ready("iperf3_client");
  absl::StatusOr<weir::TcpStream> control = co_await shard.ConnectTcp(*target);
  if (!control.ok()) co_return control.status();
  std::string cookie(kCookieSize, 'w');
  cookie.back() = '\0';
  const std::string parameters = absl::StrCat(R"({"tcp":true,"omit":0,"time":0,"num":)", bytes,
                                              R"(,"parallel":1,"len":131072,)", reverse ? R"("reverse":true,)" : "",
                                              R"("client_version":"3.12"})");
  absl::Status status = co_await Write(*control, cookie);
  if (status.ok()) status = co_await Expect(*control, kParamExchange);
  if (status.ok()) status = co_await WriteJson(*control, parameters);
  if (status.ok()) status = co_await Expect(*control, kCreateStreams);
  if (!status.ok()) co_return status;
  absl::StatusOr<weir::TcpStream> data = co_await shard.ConnectTcp(*target);
  if (!data.ok()) co_return data.status();
  status = co_await Write(*data, cookie);
  if (status.ok()) status = co_await Expect(*control, kTestStart);
  if (status.ok()) status = co_await Expect(*control, kTestRunning);
  if (!status.ok()) co_return status;
  const absl::StatusOr<uint64_t> moved =
      reverse ? co_await ReceiveData(*data, bytes) : co_await SendData(*data, bytes);
  if (!moved.ok()) co_return moved.status();
  co_return co_await Finish(*control, *moved, reverse);
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "An iperf3 client.", Main);
}
