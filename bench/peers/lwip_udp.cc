#include "bench/peers/lwip_udp.h"

#include <lwip/pbuf.h>
#include <lwip/udp.h>

#include "runtime/base/check.h"

namespace weir::bench {

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
