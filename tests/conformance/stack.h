// Stack: a stack under test, as the player of scripts sees it: a link with frames both ways, socket calls by name, and time.
// Two of them: WeirStack (virtual time, in memory) and AgentStack (real time, behind a veth and a socket agent).
#ifndef TESTS_CONFORMANCE_STACK_H_
#define TESTS_CONFORMANCE_STACK_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/time.h"
#include "tests/conformance/script.h"
#include "tests/support/packets.h"

namespace weir::conformance {

using testing_support::Bytes;

// A socket call, taken apart. Which members count depends on `verb` (README.md).
struct Call {
  std::string verb;
  std::string socket;   // the script's name for it
  std::string other;    // accept: the name of the new one; set, get: the option
  std::string text;     // set: the value, where it is no number
  int64_t number = 0;   // a length, a value, a backlog
  uint16_t port = 0;    // listen, udp: ours; connect, sendto: the peer's
  bool no_wait = false; // EAGAIN rather than waiting
  bool all = false;     // read: not before `number` bytes are there
  bool peek = false;
  Bytes data;           // write, sendto
};

struct Outcome {
  int64_t value = 0;  // bytes, or an option's value
  int error = 0;      // errno; 0: none
  Bytes data;         // read
  std::map<std::string, double> info;  // of "info": times in ms
  Nanos at_ns = 0;
};

class Stack {
 public:
  struct Frame {
    Nanos at_ns;
    Bytes bytes;
  };
  // What the peer's clock and scheduling may add to a time, beyond what a script says.
  struct Tolerance {
    double early_ms, late_ms;
    double late_share;  // of the time itself
    double call_ms;     // until an agent that was asked has made its call
  };

  virtual ~Stack() = default;
  virtual StackKind kind() const = 0;
  virtual Tolerance tolerance() const = 0;
  virtual Nanos now_ns() = 0;
  // Lets time pass until `until_ns`, but not beyond the next frame that comes or call that returns.
  virtual void Wait(Nanos until_ns) = 0;
  virtual void Send(const Bytes& frame) = 0;
  // Starts a call. Its outcome is in `returned` under this number when it has ended, perhaps at once.
  virtual void Start(int number, const Call& call) = 0;
  // What a call that goes on needs until all of its first effects are there.
  virtual Nanos settle_ns() const = 0;
  // After the script: what the stack still has to complain about ("" nothing).
  virtual std::string End() = 0;

  std::deque<Frame> arrived;          // from the stack, oldest first
  std::map<int, Outcome> returned;
};

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_STACK_H_
