// HostOptions: how a program runs: on which stack, interface and address, with how many shards. Programs normally fill
// it from the command line (host_flags.h).
#ifndef NETSTACK_HOST_HOST_OPTIONS_H_
#define NETSTACK_HOST_HOST_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netstack/tcp/tcp_settings.h"
#include "runtime/base/ip_address.h"

namespace weir {

enum class StackKind { kKernel, kXdp };
enum class XdpAttach { kAuto, kNative, kGeneric };
enum class ZeroCopyMode { kAuto, kOn, kOff };
// What a shard does when there is nothing to do: sleep, never sleep, or spin for as long as it has been worth it.
enum class PollMode { kAdaptive, kBusy, kWait };
// Where an address comes from: the user, a DHCP server (RFC 2131), or router advertisements (RFC 4862).
enum class AddressKind { kStatic, kDhcp, kSlaac };

struct HostOptions {
  StackKind stack = StackKind::kKernel;
  int shards = 1;
  PollMode poll = PollMode::kAdaptive;
  // Kernel-socket endpoint of the metrics page; port 0 with no address: none.
  std::optional<Endpoint> metrics;

  // For kXdp:
  struct Address {
    IpPrefix prefix;        // of a static one
    std::string interface;  // empty: the first
    AddressKind kind = AddressKind::kStatic;
  };
  struct Route {
    IpPrefix prefix;
    IpAddress gateway;      // in the prefix of one of our addresses, or link-local
    std::string interface;  // of a link-local IPv6 gateway; empty: there is only one
  };
  // "eth0", or "eth0.100" and "eth0.100.7" for VLANs of it that have no device of their own.
  std::vector<std::string> interfaces;
  std::vector<Address> addresses;
  std::vector<Route> routes;  // besides those to the networks of our addresses
  std::string filter;         // a file of packet filter rules (filter_file.h); empty: none
  bool ip_forward = false;    // pass packets on between the interfaces
  uint32_t mtu = 0;           // 0: the interface's
  netstack::TcpSettings tcp;
  XdpAttach xdp_attach = XdpAttach::kAuto;
  ZeroCopyMode zero_copy = ZeroCopyMode::kAuto;
  std::string pcap;  // file name; empty: none

  // Frames of a shard, for receiving, sending and what programs hold; 0: as many as frame_sizing.h derives.
  uint32_t frames = 0;
  // 2048 or 4096; 0: 2048, and 4096 where an interface's MTU needs it.
  uint32_t frame_size = 0;

  // How many --frames may name. With fewer a shard would be short of frames, by its own measures, before it has as many
  // on their way in and out as one burst brings; more than 16 GiB of them no shard can be meant to have.
  static constexpr uint32_t kLeastFrames = 1024, kMostFrames = uint32_t{1} << 22;

  // How long tasks may take to end after a stop before the process gives up on them.
  int drain_seconds = 5;
};

}  // namespace weir

#endif  // NETSTACK_HOST_HOST_OPTIONS_H_
