// UdpSocketTest: a SocketTest of datagrams.
#ifndef TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_
#define TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "runtime/core/sleep.h"
#include "tests/netstack/socket/socket_world.h"

namespace weir::testing {

class UdpSocketTest : public SocketTest {
 protected:
  UdpSocket Bind(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), At(server, port), options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  // Bound to any address of the family.
  UdpSocket BindAny(bool server, uint16_t port = 0, const UdpBindOptions& options = {}) {
    const Endpoint any{v6() ? IpAddress() : IpAddress::V4(0), port};
    absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(world_->stack(server), any, options);
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  static Task<absl::Status> Send(UdpSocket& socket, std::string text, Endpoint to = {}, UdpSendOptions options = {}) {
    const iovec slice{text.data(), text.size()};
    co_return co_await socket.Sendmsg(std::span(&slice, 1), to, options);
  }
  static Task<std::string> Receive(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), std::chrono::milliseconds(2000));
    co_return got.ok() ? TextOf(got->data) : absl::StatusCodeToString(got.status().code());
  }
  // Whether nothing comes.
  static Task<bool> Silent(UdpSocket& socket) {
    absl::StatusOr<Datagram> got = co_await WithTimeout(socket.Recvmsg(), std::chrono::milliseconds(20));
    co_return absl::IsDeadlineExceeded(got.status());
  }
  static SendBuffer Buffer(UdpSocket& socket, const std::string& text) {
    SendBuffer buffer = socket.NewSendBuffer(text.size());
    if (!text.empty()) std::memcpy(buffer.writable().front().iov_base, text.data(), text.size());
    return buffer;
  }
};

}  // namespace weir::testing

#endif  // TESTS_NETSTACK_SOCKET_UDP_FIXTURE_H_
