#include "netstack/host/xdp_shared.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::Status CheckOptions(const HostOptions& options) {
  if (options.interfaces.empty()) {
    return absl::InvalidArgumentError("--stack=xdp needs --interface=NAME: 'ip link' lists them");
  }
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError(
        "--stack=xdp needs --address=A.B.C.D/LEN, dhcp or slaac: sharing the interface's own is not there yet");
  }
  for (size_t i = 0; i < options.interfaces.size(); ++i) {
    const auto& all = options.interfaces;
    if (std::count(all.begin(), all.end(), all[i]) > 1) {
      return absl::InvalidArgumentError(absl::StrCat("--interface: ", all[i], " is there twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

XdpShared::XdpShared(const HostOptions& options, netstack::HandOver::WakeFn wake, void* wake_context)
    : shards_(options.shards), wake_(wake), wake_context_(wake_context) {
  if (shards_ == 1) return;
  flows_ = std::make_unique<netstack::FlowShards>(runtime::SipKey::Random(), shards_);
  exchange_ = std::make_unique<netstack::FrameExchange>(shards_);
}

absl::StatusOr<std::unique_ptr<XdpShared>> XdpShared::Create(const HostOptions& options,
                                                             netstack::HandOver::WakeFn wake, void* wake_context) {
  const absl::Status checked = CheckOptions(options);
  if (!checked.ok()) return checked;
  std::unique_ptr<XdpShared> self(new XdpShared(options, wake, wake_context));
  if (!options.pcap.empty()) {
    absl::StatusOr<std::unique_ptr<netstack::PcapWriter>> capture = netstack::PcapWriter::Create(options.pcap);
    if (!capture.ok()) return capture.status();
    self->capture_ = *std::move(capture);
  }
  for (const std::string& name : options.interfaces) {
    absl::StatusOr<XdpInterface::Place> place = XdpInterface::Find(name);
    if (!place.ok()) return place.status();
    absl::StatusOr<std::unique_ptr<XdpInterface>> interface = XdpInterface::Create(options, *place);
    if (!interface.ok()) return interface.status();
    self->interfaces_.push_back(*std::move(interface));
  }
  return self;
}

std::unique_ptr<netstack::HandOver> XdpShared::MakeHandOver(int shard) {
  if (shards_ == 1) return nullptr;
  return std::make_unique<netstack::HandOver>(*flows_, *exchange_, shard, wake_, wake_context_);
}

void XdpShared::Publish(netstack::IpConfig config, bool complete) {
  {
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    complete_ = complete;
    config_version_.fetch_add(1, std::memory_order_release);
  }
  for (int to = 1; to < shards_; ++to) wake_(wake_context_, 0, to);
}

uint64_t XdpShared::Read(netstack::IpConfig* config, bool* complete) {
  std::lock_guard lock(mutex_);
  *config = config_;
  *complete = complete_;
  return config_version_.load(std::memory_order_relaxed);
}

}  // namespace weir
