// tcp_bulk: connects to a server that sends back what it receives, sends a stream over each connection, reads it back at
// the same time and compares every byte. Over weir's own stack or kernel sockets, as every weir program.
//
//   tcp_bulk --target=10.91.0.1:7 --connections=64 --bytes=1600000 --stack=xdp --interface=weir0 --address=10.91.0.2/24
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/when_all.h"

ABSL_FLAG(std::string, target, "", "the server, as ADDRESS:PORT");
ABSL_FLAG(int, connections, 1, "connections at once");
ABSL_FLAG(uint64_t, bytes, 1 << 20, "bytes that each connection sends");
ABSL_FLAG(uint64_t, seed, 1, "of the bytes");

namespace {

using weir::Task;

// Eight bytes of the stream of a connection; no two places of any two streams are alike.
uint64_t Word(uint64_t key, uint64_t index) {
  uint64_t x = key * 0x9e3779b97f4a7c15 + index * 0xd1342543de82ef95;
  x = (x ^ (x >> 32)) * 0xbf58476d1ce4e5b9;
  return x ^ (x >> 29);
}

void Fill(uint64_t key, uint64_t offset, std::vector<char>& out) {
  for (size_t i = 0; i < out.size();) {
    const uint64_t word = Word(key, (offset + i) / 8);
    const size_t skip = (offset + i) % 8, n = std::min(8 - skip, out.size() - i);
    std::memcpy(out.data() + i, reinterpret_cast<const char*>(&word) + skip, n);
    i += n;
  }
}

Task<absl::Status> Send(weir::TcpStream& stream, uint64_t key, uint64_t bytes) {
  std::vector<char> chunk;
  for (uint64_t sent = 0; sent < bytes; sent += chunk.size()) {
    chunk.resize(std::min<uint64_t>(65536, bytes - sent));
    Fill(key, sent, chunk);
    const iovec from{chunk.data(), chunk.size()};
    absl::Status status = co_await stream.Sendmsg({&from, 1});
    if (!status.ok()) co_return status;
  }
  co_return stream.ShutdownWrite();
}

Task<absl::Status> Check(weir::TcpStream& stream, uint64_t key, uint64_t bytes) {
  uint64_t received = 0;
  std::vector<char> wanted;
  for (;;) {
    absl::StatusOr<weir::RecvBuffer> msg = co_await stream.Recvmsg();
    if (!msg.ok()) co_return msg.status();
    if (msg->empty()) break;
    for (const iovec& slice : msg->buffers()) {
      wanted.resize(slice.iov_len);
      Fill(key, received, wanted);
      if (std::memcmp(wanted.data(), slice.iov_base, slice.iov_len) != 0) {
        co_return absl::DataLossError(absl::StrCat("other bytes than were sent, behind byte ", received));
      }
      received += slice.iov_len;
    }
  }
  if (received != bytes) co_return absl::DataLossError(absl::StrCat(received, " bytes came back of ", bytes));
  co_return absl::OkStatus();
}

Task<absl::Status> Connection(weir::Shard& shard, weir::Endpoint target, uint64_t key, uint64_t bytes) {
  absl::StatusOr<weir::TcpStream> stream = co_await shard.ConnectTcp(target);
  if (!stream.ok()) co_return stream.status();
  auto [sent, checked] = co_await weir::WhenAll(Send(*stream, key, bytes), Check(*stream, key, bytes));
  co_return checked.ok() ? sent : checked;
}

Task<absl::Status> Main(weir::Shard& shard) {
  const absl::StatusOr<weir::Endpoint> target = weir::Endpoint::Parse(absl::GetFlag(FLAGS_target));
  if (!target.ok()) co_return target.status();
  const int connections = absl::GetFlag(FLAGS_connections);
  const uint64_t bytes = absl::GetFlag(FLAGS_bytes);
  shard.Ready("tcp_bulk");
  std::vector<Task<absl::Status>> tasks;
  for (int i = 0; i < connections; ++i) {
    tasks.push_back(Connection(shard, *target, absl::GetFlag(FLAGS_seed) * 4096 + static_cast<uint64_t>(i), bytes));
  }
  const std::vector<absl::Status> results = co_await weir::WhenAll(std::move(tasks));
  for (const absl::Status& status : results) {
    if (!status.ok()) co_return status;
  }
  std::printf("tcp_bulk: %d connections, %llu bytes each way over each, all the same\n", connections,
              static_cast<unsigned long long>(bytes));
  co_return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Sends to an echo server and compares what comes back.", Main);
}
