#include "bench/peers/lwip_udp.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>

#include <algorithm>

#include "runtime/base/check.h"

namespace weir::bench {
namespace {

// Nothing is sent in these benchmarks but what lwIP says by itself (a gratuitous ARP).
err_t Discard(netif*, pbuf*) { return ERR_OK; }

err_t InitNetif(netif* netif) {
  netif->name[0] = 'w';
  netif->name[1] = 'r';
  netif->mtu = 1500;
  netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
  netif->hwaddr_len = 6;
  netif->output = etharp_output;
  netif->linkoutput = Discard;
  return ERR_OK;
}

}  // namespace

LwipHost::LwipHost(const std::array<uint8_t, 6>& mac, uint32_t ip) : netif_(new netif{}), pbufs_(kBurst) {
  static const bool initialised = (lwip_init(), true);
  WEIR_CHECK(initialised && netif_default == nullptr);
  const ip4_addr_t address{lwip_htonl(ip)}, mask{lwip_htonl(0xffffff00)}, gateway{0};
  std::copy(mac.begin(), mac.end(), netif_->hwaddr);
  WEIR_CHECK(netif_add(netif_.get(), &address, &mask, &gateway, nullptr, InitNetif, ethernet_input) != nullptr);
  netif_set_default(netif_.get());
  netif_set_up(netif_.get());
  for (pbuf_custom& custom : pbufs_) custom.custom_free_function = [](pbuf*) {};  // the frame is the caller's
}

LwipHost::~LwipHost() { netif_remove(netif_.get()); }

void LwipHost::Receive(std::span<const std::span<std::byte>> burst) {
  WEIR_CHECK(burst.size() <= kBurst);
  for (size_t i = 0; i < burst.size(); ++i) {
    const auto size = static_cast<u16_t>(burst[i].size());
    pbuf* frame = pbuf_alloced_custom(PBUF_RAW, size, PBUF_REF, &pbufs_[i], burst[i].data(), size);
    if (netif_->input(frame, netif_.get()) != ERR_OK) pbuf_free(frame);
  }
}

LwipUdpSink::LwipUdpSink(LwipHost&, uint16_t port) : pcb_(udp_new()) {
  WEIR_CHECK(pcb_ != nullptr && udp_bind(pcb_, IP4_ADDR_ANY, port) == ERR_OK);
  const udp_recv_fn count = [](void* self, udp_pcb*, pbuf* datagram, const ip_addr_t*, u16_t) {
    auto& sink = *static_cast<LwipUdpSink*>(self);
    ++sink.datagrams_;
    sink.bytes_ += datagram->tot_len;
    pbuf_free(datagram);
  };
  udp_recv(pcb_, count, this);
}

LwipUdpSink::~LwipUdpSink() { udp_remove(pcb_); }

}  // namespace weir::bench
