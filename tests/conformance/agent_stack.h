// AgentStack: a stack behind a network interface, in real time. Frames go through a packet socket on this end of a veth;
// calls go to a socket agent (a Unix socket of type SOCK_SEQPACKET, one POSIX call a message) next to the stack.
#ifndef TESTS_CONFORMANCE_AGENT_STACK_H_
#define TESTS_CONFORMANCE_AGENT_STACK_H_

#include <sys/socket.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "tests/conformance/stack.h"

namespace weir::conformance {

class AgentStack final : public Stack {
 public:
  // `kind`: whose lines of a script count. `device`: of this thread's namespace. `agent`: the path of its socket.
  AgentStack(StackKind kind, bool v6, const std::string& device, const std::string& agent);

  StackKind kind() const override { return kind_; }
  // Linux's timers lie in wheels that are as fine as an eighth of the time; the rest is the machine's scheduling,
  // less than the least delay of an ACK.
  Tolerance tolerance() const override { return {.early_ms = 6, .late_ms = 30, .late_share = 0.15, .call_ms = 300}; }
  Nanos now_ns() override;
  void Wait(Nanos until_ns) override;
  void Send(const Bytes& frame) override;
  void Start(int number, const Call& call) override;
  Nanos settle_ns() const override { return 5 * kMillisecond; }
  std::string End() override { return ""; }

 private:
  struct Request {
    int32_t op = 0, h = 0, a1 = 0, a2 = 0, a3 = 0;
    Bytes address, data;
  };
  struct Reply {
    int64_t value = 0;
    int error = 0;
    Bytes address, data;
  };
  struct UnderWay {
    int number;
    Call call;
  };

  // A control connection that nothing is under way on.
  runtime::UniqueFd Connection();
  void SendRequest(int fd, const Request& request);
  Reply ReadReply(int fd);
  // For what does not wait.
  Reply Ask(const Request& request);
  void Finish(const UnderWay& call, const Reply& reply);
  void TakeFrames();
  Reply StartHere(const Call& call, Request* waits);
  Reply Open(const Call& call, bool udp);
  Reply SetOption(const Call& call);
  Reply GetOption(const Call& call);
  Reply Info(const Call& call, std::map<std::string, double>* fields);
  bool Readable(int handle);
  Bytes Address(bool peer, uint16_t port) const;

  const StackKind kind_;
  const bool v6_;
  const std::string agent_;
  runtime::UniqueFd packets_;
  std::vector<runtime::UniqueFd> idle_;
  std::vector<std::pair<runtime::UniqueFd, UnderWay>> under_way_;
  std::map<std::string, int> handles_;
};

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_AGENT_STACK_H_
