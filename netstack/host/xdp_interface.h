// XdpInterface: one interface of --stack=xdp, as all shards have it: the steering program, the tap for what concerns the
// kernel too, and which queues there are. Bringing it up changes the interface in nothing but the attached program and
// multicast filters, which go with us.
#ifndef NETSTACK_HOST_XDP_INTERFACE_H_
#define NETSTACK_HOST_XDP_INTERFACE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/host/host_options.h"
#include "netstack/ip/flow_shards.h"
#include "netstack/ip/net_device.h"
#include "netstack/link/packet_tap.h"
#include "xdp/steer_program.h"

namespace weir {

// How many queues of an interface a shard serves at most, and how long their Rx rings are. Queue n is shard n's, modulo the
// number of shards: a device brings frames to all of its queues, so none may be left without a socket.
struct QueueShare {
  uint32_t links;
  uint32_t rx_size;
};
QueueShare ShareOfQueues(uint32_t queues, int shards);

class XdpInterface {
 public:
  // Where the interface is: a device, and the VLAN of it when the name says one ("eth0.100").
  struct Place {
    std::string name;  // as the user wrote it
    std::string device;
    netstack::VlanTags vlan;
  };
  static absl::StatusOr<Place> Find(const std::string& name);

  // Attaches the program, which passes everything to the kernel until addresses are added. One line says what is wrong
  // with options or interface.
  static absl::StatusOr<std::unique_ptr<XdpInterface>> Create(const HostOptions& options, const Place& place);

  // What the stack has to know of the interface.
  const netstack::NetDeviceOptions& device_options() const { return device_options_; }
  // Frames to `ip` are ours from now on, or, when no other shard wants them, are the kernel's again; to a group, the NIC
  // takes them in as well. From any thread, as is the other.
  absl::Status Steer(int shard, const IpAddress& ip, bool ours);
  bool WantedElsewhere(int shard, const IpAddress& ip);

  // The largest MTU whose packets fit into frames of that size; those of a larger one come in several.
  static uint32_t LargestMtu(uint32_t frame_size);

  xdp::SteerProgram& program() { return *program_; }
  // Shard 0's, but for its groups.
  netstack::PacketTap& tap() { return *tap_; }
  uint32_t queues() const { return program_->interface().rx_queues; }
  // Of a shard that has one of the queues; they are all alike.
  void NoteLink(bool zero_copy) { zero_copy_.store(zero_copy, std::memory_order_relaxed); }
  // "eth0 (native, zero-copy, 4 queues)", when the shards are up.
  std::string Describe() const;

 private:
  XdpInterface() = default;
  absl::Status SteerAll(const IpAddress& ip, bool ours);

  netstack::NetDeviceOptions device_options_;
  std::unique_ptr<xdp::SteerProgram> program_;
  std::unique_ptr<netstack::PacketTap> tap_;
  std::atomic<bool> zero_copy_{false};
  std::mutex mutex_;
  std::map<IpAddress, netstack::ShardSet> wanted_;
};

}  // namespace weir

#endif  // NETSTACK_HOST_XDP_INTERFACE_H_
