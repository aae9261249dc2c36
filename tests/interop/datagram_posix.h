// DatagramPosix: a socket of UDP, or one for echo requests (SOCK_DGRAM of IPPROTO_ICMP and IPPROTO_ICMPV6), over a
// UdpSock of the stack. Linux: udp.c, ping.c, datagram.c.
#ifndef TESTS_INTEROP_DATAGRAM_POSIX_H_
#define TESTS_INTEROP_DATAGRAM_POSIX_H_

#include <memory>
#include <vector>

#include "netstack/ip/group_call.h"
#include "netstack/udp/udp_table.h"
#include "tests/interop/posix_socket.h"

namespace weir::interop {

class DatagramPosix final : public PosixSocket {
 public:
  DatagramPosix(AgentStack& stack, int domain, int protocol);
  ~DatagramPosix() override;

  int Bind(std::span<const std::byte> address) override;
  int Connect(std::span<const std::byte> address) override;
  int64_t Recv(std::span<std::byte> into, int flags, size_t* done, size_t* given, PosixAddress* from) override;
  int64_t Send(std::span<const std::byte> data, int flags, size_t* done, std::span<const std::byte> to) override;
  int Shutdown(int how) override;
  void Abort() override;
  int Ioctl(unsigned request, int* value) override;
  short Poll() const override;
  PosixAddress SockName() const override;

 private:
  int TakeError() override;
  int DefaultReceiveBuffer() const override { return stack_.rmem_default; }
  int DefaultSendBuffer() const override { return stack_.wmem_default; }
  std::array<uint32_t, 9> MemInfo() const override;
  int SocketOptionSet(int name, int value) override;
  int SetProtocolOption(int level, int name, std::span<const std::byte> value) override;
  int GetProtocolOption(int level, int name, int room, OptionValue* value) override;
  void IpOptionsSet() override;
  bool HasPort() const override { return bound_; }
  int PathMtu() const override;
  int GroupOption(int level, int name, std::span<const std::byte> value) override;
  int GroupOption4(int name, std::span<const std::byte> value);
  int GroupCall(netstack::GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface);

  static void OnReady(netstack::ReadySock& sock, uint8_t events);
  bool is_ping() const { return protocol_ != IPPROTO_UDP; }
  netstack::UdpTable& table() const;
  bool connected() const { return peer_ != Endpoint{}; }
  IpAddress Any() const { return domain_ == AF_INET ? IpAddress::V4(0) : IpAddress(); }
  int TakePort(const Endpoint& local);
  void Disconnect();
  // Whereto a send goes: 0, or -errno.
  int Destination(std::span<const std::byte> to, Endpoint* peer) const;
  int SendDatagram(std::span<const std::byte> data, const Endpoint& peer);

  std::unique_ptr<netstack::UdpSock> sock_;
  Endpoint peer_;  // connected to; all zero: to none
  bool bound_ = false;
  bool address_bound_ = false, port_bound_ = false;  // by bind(2)
  uint8_t shut_ = 0;
  bool cork_ = false;                // UDP_CORK
  std::vector<std::byte> pending_;   // of MSG_MORE, for one datagram: at most kMaxDatagram
};

}  // namespace weir::interop

#endif  // TESTS_INTEROP_DATAGRAM_POSIX_H_
