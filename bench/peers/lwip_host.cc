#include "bench/peers/lwip_host.h"

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <netif/ethernet.h>

#include <algorithm>

#include "runtime/base/check.h"

namespace weir::bench {

struct LwipDriver {
  static err_t Init(netif* netif) {
    netif->name[0] = 'w';
    netif->name[1] = 'r';
    netif->mtu = 1500;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    netif->hwaddr_len = 6;
    netif->output = etharp_output;
    netif->linkoutput = Send;
    return ERR_OK;
  }
  static err_t Send(netif* netif, pbuf* frame) {
    const auto& host = *static_cast<LwipHost*>(netif->state);
    if (host.on_sent_) host.on_sent_({static_cast<const std::byte*>(frame->payload), frame->len});
    return ERR_OK;
  }
};

LwipHost::LwipHost(const std::array<uint8_t, 6>& mac, uint32_t ip, uint32_t gateway)
    : netif_(new netif{}), pbufs_(kBurst) {
  static const bool initialised = (lwip_init(), true);
  WEIR_CHECK(initialised && netif_default == nullptr);
  const ip4_addr_t address{lwip_htonl(ip)}, mask{lwip_htonl(0xffffff00)}, router{lwip_htonl(gateway)};
  std::copy(mac.begin(), mac.end(), netif_->hwaddr);
  WEIR_CHECK(netif_add(netif_.get(), &address, &mask, &router, this, LwipDriver::Init, ethernet_input) != nullptr);
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

}  // namespace weir::bench
