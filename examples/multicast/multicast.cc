// multicast: a member of a group, or a listener to broadcasts: prints what is sent there, and says a line itself.
//
//   multicast --group=239.1.1.1:5000 --say=hello                                       over kernel sockets
//   multicast --group='[ff15::1%veth0]:5000' --stack=xdp --interface=veth0 --address=...     over weir's own stack
//   multicast --group=255.255.255.255:5000 --say='is anybody there?'
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "netstack/host/host_flags.h"
#include "runtime/core/sleep.h"

ABSL_FLAG(std::string, group, "239.1.1.1:5000", "the group and port, or a broadcast address and port");
ABSL_FLAG(std::string, say, "", "what to send there, once a second; empty: nothing");

namespace {

// On the interface that the group's scope names, or the one that the routes lead over.
absl::Status Join(weir::UdpSocket& socket, const weir::Endpoint& group) {
  if (!group.ip.is_multicast()) return socket.SetBroadcast(true);
  absl::Status joined = socket.JoinGroup(group.ip, group.scope_id);
  joined.Update(socket.SetMulticastInterface(group.scope_id));
  return joined;
}

weir::Task<absl::Status> Say(weir::UdpSocket& socket, weir::Endpoint group, std::string line) {
  const iovec text{line.data(), line.size()};
  for (;;) {
    absl::Status sent = co_await socket.Sendmsg(std::span(&text, 1), group);
    if (!sent.ok()) co_return sent;
    absl::Status slept = co_await weir::Sleep(std::chrono::seconds(1));
    if (!slept.ok()) co_return slept;
  }
}

weir::Task<absl::Status> Listen(weir::UdpSocket& socket) {
  for (;;) {
    absl::StatusOr<weir::Datagram> got = co_await socket.Recvmsg();
    if (!got.ok()) co_return got.status();
    std::printf("%s: ", got->peer.ToString().c_str());
    for (const iovec& piece : got->data.buffers()) std::fwrite(piece.iov_base, 1, piece.iov_len, stdout);
    std::printf("\n");
    std::fflush(stdout);
  }
}

weir::Task<absl::Status> Main(weir::Shard& shard) {
  const absl::StatusOr<weir::Endpoint> group = weir::Endpoint::Parse(absl::GetFlag(FLAGS_group));
  if (!group.ok()) co_return group.status();
  const weir::Endpoint any{group->ip.is_v4() ? weir::IpAddress::V4(0) : weir::IpAddress(), group->port};
  absl::StatusOr<weir::UdpSocket> socket = shard.BindUdp(any, {.reuse_address = true});
  if (!socket.ok()) co_return socket.status();
  absl::Status joined = Join(*socket, *group);
  if (!joined.ok()) co_return joined;
  shard.Ready(absl::StrCat("multicast at ", group->ToString()));
  weir::AsyncScope scope(co_await weir::CurrentContext(), weir::AsyncScope::OnError::kStopAll);
  scope.Spawn(Listen(*socket));
  if (const std::string line = absl::GetFlag(FLAGS_say); !line.empty()) scope.Spawn(Say(*socket, *group, line));
  co_return co_await scope.Join();
}

}  // namespace

int main(int argc, char** argv) {
  return weir::RunWithFlags(argc, argv, "Listens to a group and says a line to it.", Main);
}
