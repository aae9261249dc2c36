#include "tests/conformance/agent_stack.h"

#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include "runtime/base/check.h"
#include "runtime/base/ip_address.h"
#include "tests/support/packets6.h"

namespace weir::conformance {
namespace {

using namespace testing_support;

enum Op : int32_t {
  kSocket = 1, kBind, kListen, kAccept, kConnect, kRecv, kSend, kClose, kShutdown, kGetsockopt, kSetsockopt, kFcntl,
  kIoctl, kPoll
};

constexpr int kTcpLevel = IPPROTO_TCP;  // SOL_TCP; <netinet/tcp.h> and <linux/tcp.h> do not go together

// The names of scripts, by version of IP where it matters.
struct Option {
  const char* name;
  int level4, option4, level6, option6;
};
constexpr Option kOptions[] = {
    {"NODELAY", kTcpLevel, TCP_NODELAY, kTcpLevel, TCP_NODELAY},
    {"CORK", kTcpLevel, TCP_CORK, kTcpLevel, TCP_CORK},
    {"QUICKACK", kTcpLevel, TCP_QUICKACK, kTcpLevel, TCP_QUICKACK},
    {"USER_TIMEOUT", kTcpLevel, TCP_USER_TIMEOUT, kTcpLevel, TCP_USER_TIMEOUT},
    {"RCVBUF", SOL_SOCKET, SO_RCVBUF, SOL_SOCKET, SO_RCVBUF},
    {"SNDBUF", SOL_SOCKET, SO_SNDBUF, SOL_SOCKET, SO_SNDBUF},
    {"LINGER2", kTcpLevel, TCP_LINGER2, kTcpLevel, TCP_LINGER2},
    {"NOTSENT_LOWAT", kTcpLevel, TCP_NOTSENT_LOWAT, kTcpLevel, TCP_NOTSENT_LOWAT},
    {"SYNCNT", kTcpLevel, TCP_SYNCNT, kTcpLevel, TCP_SYNCNT},
    {"MAXSEG", kTcpLevel, TCP_MAXSEG, kTcpLevel, TCP_MAXSEG},
    {"WINDOW_CLAMP", kTcpLevel, TCP_WINDOW_CLAMP, kTcpLevel, TCP_WINDOW_CLAMP},
    {"TOS", SOL_IP, IP_TOS, SOL_IPV6, IPV6_TCLASS},
    {"TTL", SOL_IP, IP_TTL, SOL_IPV6, IPV6_UNICAST_HOPS},
    {"MTU_DISCOVER", SOL_IP, IP_MTU_DISCOVER, SOL_IPV6, IPV6_MTU_DISCOVER},
    {"MINTTL", SOL_IP, IP_MINTTL, SOL_IPV6, IPV6_MINHOPCOUNT},
    {"DEFER_ACCEPT", kTcpLevel, TCP_DEFER_ACCEPT, kTcpLevel, TCP_DEFER_ACCEPT},
    {"KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE},
    {"KEEPIDLE", kTcpLevel, TCP_KEEPIDLE, kTcpLevel, TCP_KEEPIDLE},
    {"KEEPINTVL", kTcpLevel, TCP_KEEPINTVL, kTcpLevel, TCP_KEEPINTVL},
    {"KEEPCNT", kTcpLevel, TCP_KEEPCNT, kTcpLevel, TCP_KEEPCNT},
    {"FASTOPEN", kTcpLevel, TCP_FASTOPEN, kTcpLevel, TCP_FASTOPEN},
    {"FASTOPEN_CONNECT", kTcpLevel, TCP_FASTOPEN_CONNECT, kTcpLevel, TCP_FASTOPEN_CONNECT},
    {"CONGESTION", kTcpLevel, TCP_CONGESTION, kTcpLevel, TCP_CONGESTION},
    {"ERROR", SOL_SOCKET, SO_ERROR, SOL_SOCKET, SO_ERROR},
    {"MAX_PACING_RATE", SOL_SOCKET, SO_MAX_PACING_RATE, SOL_SOCKET, SO_MAX_PACING_RATE},
    {"LINGER", SOL_SOCKET, SO_LINGER, SOL_SOCKET, SO_LINGER},
};

const Option* FindOption(const std::string& name) {
  for (const Option& option : kOptions) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

Nanos Since1970(const timespec& time) { return Nanos{time.tv_sec} * kSecond + time.tv_nsec; }

template <typename T>
Bytes AsBytes(const T& value) {
  const auto view = std::as_bytes(std::span(&value, 1));
  return {view.begin(), view.end()};
}

std::map<std::string, double> InfoFields(const tcp_info& info) {
  return {{"state", info.tcpi_state},
          {"ca_state", info.tcpi_ca_state},
          {"ts", (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0},
          {"sack", (info.tcpi_options & TCPI_OPT_SACK) != 0},
          {"wscale", (info.tcpi_options & TCPI_OPT_WSCALE) != 0},
          {"syn_data", (info.tcpi_options & TCPI_OPT_SYN_DATA) != 0},
          {"snd_wscale", info.tcpi_snd_wscale},
          {"rcv_wscale", info.tcpi_rcv_wscale},
          {"retransmits", info.tcpi_retransmits},
          {"probes", info.tcpi_probes},
          {"backoff", info.tcpi_backoff},
          {"rto", info.tcpi_rto / 1e3},
          {"rtt", info.tcpi_rtt / 1e3},
          {"snd_mss", info.tcpi_snd_mss},
          {"rcv_mss", info.tcpi_rcv_mss},
          {"advmss", info.tcpi_advmss},
          {"cwnd", info.tcpi_snd_cwnd},
          {"ssthresh", info.tcpi_snd_ssthresh},
          {"unacked", info.tcpi_unacked},
          {"lost", info.tcpi_lost},
          {"snd_wnd", info.tcpi_snd_wnd},
          {"notsent", info.tcpi_notsent_bytes},
          {"bytes_sent", static_cast<double>(info.tcpi_bytes_sent)},
          {"bytes_retrans", static_cast<double>(info.tcpi_bytes_retrans)},
          {"bytes_acked", static_cast<double>(info.tcpi_bytes_acked)},
          {"bytes_received", static_cast<double>(info.tcpi_bytes_received)},
          {"segs_out", info.tcpi_segs_out},
          {"segs_in", info.tcpi_segs_in},
          {"total_retrans", info.tcpi_total_retrans}};
}

runtime::UniqueFd PacketSocket(const std::string& device) {
  constexpr int kEveryProtocol = 0x0300;  // ETH_P_ALL, in network order
  runtime::UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  WEIR_CHECK(fd.valid());
  const int on = 1, room = 8 << 20;
  WEIR_CHECK(setsockopt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) == 0);
  WEIR_CHECK(setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) == 0);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
  sockaddr_ll address{.sll_family = AF_PACKET, .sll_protocol = kEveryProtocol};
  address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
  WEIR_CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

}  // namespace

AgentStack::AgentStack(StackKind kind, bool v6, const std::string& device, const std::string& agent)
    : kind_(kind), v6_(v6), agent_(agent), packets_(PacketSocket(device)) {}

Nanos AgentStack::now_ns() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);  // which SO_TIMESTAMPNS has too
  return Since1970(time);
}

runtime::UniqueFd AgentStack::Connection() {
  if (!idle_.empty()) {
    runtime::UniqueFd fd = std::move(idle_.back());
    idle_.pop_back();
    return fd;
  }
  runtime::UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX};
  std::strncpy(address.sun_path, agent_.c_str(), sizeof(address.sun_path) - 1);
  // Its path is there a moment before it listens.
  for (int i = 0; connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0; ++i) {
    constexpr int kPatience = 1000;
    WEIR_CHECK(errno == ECONNREFUSED && i < kPatience);
    usleep(10'000);
  }
  return fd;
}

void AgentStack::SendRequest(int fd, const Request& request) {
  Bytes message;
  const auto number = [&](uint32_t value) { Append(message, AsBytes(value)); };
  for (int32_t value : {request.op, request.h, request.a1, request.a2, request.a3}) number(static_cast<uint32_t>(value));
  number(static_cast<uint32_t>(request.address.size()));
  number(static_cast<uint32_t>(request.data.size()));
  Append(message, request.address);
  Append(message, request.data);
  WEIR_CHECK(send(fd, message.data(), message.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(message.size()));
}

AgentStack::Reply AgentStack::ReadReply(int fd) {
  constexpr size_t kHead = 20, kMost = (1 << 20) + 4096;
  Bytes message(kMost);
  const ssize_t size = recv(fd, message.data(), message.size(), 0);
  WEIR_CHECK(size >= static_cast<ssize_t>(kHead));
  Reply reply;
  uint32_t address = 0, data = 0;
  std::memcpy(&reply.value, message.data(), 8);
  std::memcpy(&reply.error, message.data() + 8, 4);
  std::memcpy(&address, message.data() + 12, 4);
  std::memcpy(&data, message.data() + 16, 4);
  WEIR_CHECK(kHead + address + data <= static_cast<size_t>(size));
  const auto begin = message.begin() + kHead;
  reply.address.assign(begin, begin + address);
  reply.data.assign(begin + address, begin + address + data);
  return reply;
}

AgentStack::Reply AgentStack::Ask(const Request& request) {
  runtime::UniqueFd fd = Connection();
  SendRequest(fd.get(), request);
  Reply reply = ReadReply(fd.get());
  idle_.push_back(std::move(fd));
  return reply;
}

Bytes AgentStack::Address(bool peer, uint16_t port) const {
  if (!v6_) {
    const sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(peer ? kPeerIp : kHostIp)}};
    return AsBytes(address);
  }
  sockaddr_in6 address{.sin6_family = AF_INET6, .sin6_port = htons(port)};
  const auto bytes = IpAddress::Parse(peer ? kPeerIp6 : kHostIp6)->bytes();
  std::memcpy(&address.sin6_addr, bytes.data(), bytes.size());
  return AsBytes(address);
}

void AgentStack::TakeFrames() {
  for (;;) {
    Bytes bytes(1 << 16);
    alignas(cmsghdr) char control[256];
    iovec into{bytes.data(), bytes.size()};
    msghdr message{.msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    const ssize_t size = recvmsg(packets_.get(), &message, 0);
    if (size < 0) return;
    bytes.resize(static_cast<size_t>(size));
    Nanos at_ns = now_ns();
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      timespec time{};
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      std::memcpy(&time, CMSG_DATA(c), sizeof(time));
      at_ns = Since1970(time);
    }
    arrived.push_back({at_ns, std::move(bytes)});
  }
}

void AgentStack::Wait(Nanos until_ns) {
  const size_t frames = arrived.size(), calls = returned.size();
  do {
    std::vector<pollfd> fds = {{.fd = packets_.get(), .events = POLLIN}};
    for (const auto& [fd, call] : under_way_) fds.push_back({.fd = fd.get(), .events = POLLIN});
    const Nanos left = std::max<Nanos>(until_ns - now_ns(), 0);
    const timespec timeout{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
    TakeFrames();
    for (size_t i = fds.size() - 1; i > 0; --i) {
      if ((fds[i].revents & (POLLIN | POLLHUP)) == 0) continue;
      auto [fd, call] = std::move(under_way_[i - 1]);
      under_way_.erase(under_way_.begin() + static_cast<ptrdiff_t>(i - 1));
      Finish(call, ReadReply(fd.get()));
      idle_.push_back(std::move(fd));
    }
  } while (arrived.size() == frames && returned.size() == calls && now_ns() < until_ns);
}

void AgentStack::Send(const Bytes& frame) {
  WEIR_CHECK(send(packets_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
}

void AgentStack::Finish(const UnderWay& call, const Reply& reply) {
  if (call.call.verb == "accept" && reply.error == 0) handles_[call.call.other] = static_cast<int>(reply.value);
  returned[call.number] = {.value = reply.value, .error = reply.error, .data = reply.data, .at_ns = now_ns()};
}

AgentStack::Reply AgentStack::Open(const Call& call, bool udp) {
  const Reply opened = Ask({.op = kSocket, .a1 = v6_ ? AF_INET6 : AF_INET, .a2 = udp ? SOCK_DGRAM : SOCK_STREAM});
  if (opened.error != 0) return opened;
  handles_[call.socket] = static_cast<int>(opened.value);
  // What scripts are written for; the kernel's default may be another, and a namespace may not be able to change it.
  if (!udp) (void)SetOption({.verb = "set", .socket = call.socket, .other = "CONGESTION", .text = "cubic"});
  return opened;
}

AgentStack::Reply AgentStack::SetOption(const Call& call) {
  const int handle = handles_[call.socket];
  if (call.other == "PORT") {
    (void)Ask({.op = kSetsockopt, .h = handle, .a1 = SOL_SOCKET, .a2 = SO_REUSEADDR, .data = AsBytes(int{1})});
    return Ask({.op = kBind, .h = handle, .address = Address(false, static_cast<uint16_t>(call.number))});
  }
  const Option* option = FindOption(call.other);
  if (option == nullptr) return {.value = -1, .error = ENOPROTOOPT};
  Request request{.op = kSetsockopt, .h = handle, .a1 = v6_ ? option->level6 : option->level4,
                  .a2 = v6_ ? option->option6 : option->option4, .data = AsBytes(static_cast<int>(call.number))};
  if (!call.text.empty()) request.data = Text(call.text);
  if (call.other == "LINGER") request.data = AsBytes(linger{call.number >= 0, static_cast<int>(call.number)});
  return Ask(request);
}

AgentStack::Reply AgentStack::GetOption(const Call& call) {
  const Option* option = FindOption(call.other);
  if (option == nullptr) return {.value = -1, .error = ENOPROTOOPT};
  Reply reply = Ask({.op = kGetsockopt, .h = handles_[call.socket], .a1 = v6_ ? option->level6 : option->level4,
                     .a2 = v6_ ? option->option6 : option->option4, .a3 = sizeof(int)});
  int value = 0;
  if (reply.data.size() == sizeof(value)) std::memcpy(&value, reply.data.data(), sizeof(value));
  reply.value = value;
  return reply;
}

AgentStack::Reply AgentStack::Info(const Call& call, std::map<std::string, double>* fields) {
  tcp_info info{};
  const Reply reply = Ask({.op = kGetsockopt, .h = handles_[call.socket], .a1 = kTcpLevel, .a2 = TCP_INFO, .a3 = sizeof(info)});
  std::memcpy(&info, reply.data.data(), std::min(reply.data.size(), sizeof(info)));
  *fields = InfoFields(info);
  return reply;
}

bool AgentStack::Readable(int handle) {
  const Reply reply = Ask({.op = kPoll, .a1 = 1, .data = AsBytes(pollfd{.fd = handle, .events = POLLIN})});
  return reply.value > 0;
}

// Does what does not wait; else `*waits` is what to ask the agent.
AgentStack::Reply AgentStack::StartHere(const Call& call, Request* waits) {
  const bool known = handles_.contains(call.socket);
  if (call.verb == "tcp" || ((call.verb == "listen" || call.verb == "connect") && !known)) {
    const Reply opened = Open(call, false);
    if (call.verb == "tcp" || opened.error != 0) return opened;
  }
  if (call.verb == "udp") {
    const Reply opened = Open(call, true);
    if (opened.error != 0) return opened;
  }
  const int handle = handles_[call.socket];
  if (call.verb == "listen" || call.verb == "udp") {
    (void)Ask({.op = kSetsockopt, .h = handle, .a1 = SOL_SOCKET, .a2 = SO_REUSEADDR, .data = AsBytes(int{1})});
    const Reply bound = Ask({.op = kBind, .h = handle, .address = Address(false, call.port)});
    if (bound.error != 0 || call.verb == "udp") return bound;
    return Ask({.op = kListen, .h = handle, .a1 = static_cast<int32_t>(call.number)});
  }
  if (call.verb == "set") return SetOption(call);
  if (call.verb == "get") return GetOption(call);
  if (call.verb == "inq" || call.verb == "outq") {
    Reply reply = Ask({.op = kIoctl, .h = handle, .a1 = call.verb == "inq" ? SIOCINQ : SIOCOUTQ});
    int value = 0;
    if (reply.data.size() == sizeof(value)) std::memcpy(&value, reply.data.data(), sizeof(value));
    reply.value = value;
    return reply;
  }
  if (call.verb == "shutdown") return Ask({.op = kShutdown, .h = handle, .a1 = SHUT_WR});
  if (call.verb == "accept") {
    if (call.no_wait && !Readable(handle)) return {.value = -1, .error = EAGAIN};
    *waits = {.op = kAccept, .h = handle};
  } else if (call.verb == "connect") {
    *waits = {.op = kConnect, .h = handle, .address = Address(true, call.port)};
  } else if (call.verb == "read") {
    const int flags = (call.peek ? MSG_PEEK : 0) | (call.all ? MSG_WAITALL : 0) | (call.no_wait ? MSG_DONTWAIT : 0);
    *waits = {.op = kRecv, .h = handle, .a1 = static_cast<int32_t>(call.number), .a2 = flags};
  } else if (call.verb == "write") {
    *waits = {.op = kSend, .h = handle, .a1 = call.no_wait ? MSG_DONTWAIT : 0, .data = call.data};
  } else if (call.verb == "sendto") {
    *waits = {.op = kSend, .h = handle, .address = Address(true, call.port), .data = call.data};
  } else if (call.verb == "close") {
    handles_.erase(call.socket);
    *waits = {.op = kClose, .h = handle};
  } else {
    return {.value = -1, .error = ENOSYS};
  }
  return {};
}

void AgentStack::Start(int number, const Call& call) {
  if (call.verb == "info") {
    std::map<std::string, double> fields;
    const Reply reply = Info(call, &fields);
    returned[number] = {.error = reply.error, .info = std::move(fields), .at_ns = now_ns()};
    return;
  }
  Request waits;
  const Reply reply = StartHere(call, &waits);
  if (waits.op == 0) return Finish({number, call}, reply);
  runtime::UniqueFd fd = Connection();
  SendRequest(fd.get(), waits);
  under_way_.emplace_back(std::move(fd), UnderWay{number, call});
}

}  // namespace weir::conformance
