// The metrics page (--metrics=ADDR:PORT): every counter of every shard in the text format of Prometheus, over HTTP on a
// kernel socket, whatever stack the program runs on.
#ifndef NETSTACK_HOST_METRICS_H_
#define NETSTACK_HOST_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "netstack/host/shard.h"
#include "netstack/socket/kernel_stack.h"
#include "netstack/socket/tcp_listener.h"
#include "runtime/buffer/frame_pool.h"
#include "runtime/core/task.h"

namespace weir {

// The counters of one shard, on its own thread.
std::string RenderMetrics(Shard& shard);

class MetricsServer {
 public:
  // Listens at once, so that a taken port is an error of the start. Runs on `shard`.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Create(Host& host, Shard& shard);

  // Answers until its scope is stopped.
  Task<void> Serve();

 private:
  MetricsServer(Host& host, Shard& shard) : host_(host), shard_(shard) {}
  Task<void> Answer(TcpStream stream);

  Host& host_;
  Shard& shard_;
  // Sockets of its own: on --stack=xdp the shard has no kernel sockets, and its frames belong to the device.
  runtime::FramePool::Ptr pool_;
  std::unique_ptr<netstack::KernelStack> stack_;
  TcpListener listener_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_METRICS_H_
