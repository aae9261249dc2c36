#include "bench/peers/lwip_tcp.h"

#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#include "runtime/base/check.h"

namespace weir::bench {

struct LwipTcpCallbacks {
  static err_t Accept(void* self, tcp_pcb* pcb, err_t error) {
    WEIR_CHECK(error == ERR_OK);
    tcp_arg(pcb, self);
    tcp_nagle_disable(pcb);
    tcp_recv(pcb, Receive);
    return ERR_OK;
  }
  static err_t Receive(void* self, tcp_pcb* pcb, pbuf* data, err_t) {
    auto& server = *static_cast<LwipTcpServer*>(self);
    if (data == nullptr) {  // the peer's FIN
      ++server.closed_;
      return tcp_close(pcb);
    }
    server.bytes_ += data->tot_len;
    if (server.echo_) {
      for (const pbuf* piece = data; piece != nullptr; piece = piece->next) {
        WEIR_CHECK(tcp_write(pcb, piece->payload, piece->len, TCP_WRITE_FLAG_COPY) == ERR_OK);
      }
      tcp_output(pcb);
    }
    tcp_recved(pcb, data->tot_len);
    pbuf_free(data);
    return ERR_OK;
  }
};

LwipTcpServer::LwipTcpServer(LwipHost&, uint16_t port, bool echo) : listener_(tcp_new()), echo_(echo) {
  WEIR_CHECK(listener_ != nullptr && tcp_bind(listener_, IP4_ADDR_ANY, port) == ERR_OK);
  listener_ = tcp_listen_with_backlog(listener_, 255);
  tcp_arg(listener_, this);
  tcp_accept(listener_, LwipTcpCallbacks::Accept);
}

LwipTcpServer::~LwipTcpServer() { tcp_close(listener_); }

}  // namespace weir::bench
