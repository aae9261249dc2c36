// Resolver: addresses of a host name, as awaitable. c-ares speaks DNS; its sockets are polled through the reactor and
// its timeouts are a timer of the shard's wheel, so nothing blocks and there is no thread. One for a shard.
//
//   absl::StatusOr<std::unique_ptr<weir::Resolver>> resolver = weir::Resolver::Create(reactor);
//   absl::StatusOr<std::vector<weir::IpAddress>> ips = co_await (*resolver)->Resolve("debian.org");
//   absl::StatusOr<std::vector<weir::IpAddress>> v4 =
//       co_await (*resolver)->Resolve("debian.org", {.family = weir::AddressFamily::kIpv4});
//
// A literal address ("10.0.0.2", "fe80::1") is its own answer, at once. Otherwise /etc/hosts is asked first (c-ares
// reads it for each lookup, which is the one file access on the shard's thread) and then the servers of
// /etc/resolv.conf, with its search list. Nothing is cached: that is the affair of the server, or of the caller.
//
// A lookup allocates; it is for setting up connections, not for each request on them.
#ifndef RUNTIME_IO_RESOLVER_H_
#define RUNTIME_IO_RESOLVER_H_

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/timer_wheel.h"
#include "runtime/core/waiter.h"
#include "runtime/io/reactor.h"

struct ares_addrinfo;
struct ares_channeldata;

namespace weir {

struct ResolverOptions {
  // "10.0.0.53,192.0.2.1:5353,[2001:db8::53]:53"; empty: those of /etc/resolv.conf.
  std::string servers;
  // How long the first try waits for an answer; each round over the servers doubles it.
  Nanos timeout_ns = 2 * kSecond;
  // Tries at each server before a lookup fails with kDeadlineExceeded: with one server, by default, after 2 + 4 + 8 s.
  int tries = 3;
  // Lookups under way, with those that were cancelled and are not yet forgotten; beyond it kResourceExhausted. Each may
  // have two queries (A and AAAA) open on a socket, and their 16-bit numbers must stay hard to guess.
  size_t max_lookups = 1024;
};

enum class AddressFamily { kAny, kIpv4, kIpv6 };

struct ResolveOptions {
  AddressFamily family = AddressFamily::kAny;
};

class Resolver {
 public:
  class Awaiter;
  struct [[nodiscard]] ResolveOperation {
    Resolver* resolver;
    std::string host;
    ResolveOptions options;
    Awaiter operator co_await() &&;
  };

  // Reads the system's configuration. kInvalidArgument when `servers` cannot be read.
  static absl::StatusOr<std::unique_ptr<Resolver>> Create(runtime::Reactor& reactor,
                                                          const ResolverOptions& options = {});
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  // No Resolve may be awaited any more. Before the reactor's end.
  ~Resolver();

  // The addresses of `host`, best first (RFC 6724), each once; at least one. Resumes through the scheduler, or at once
  // for a literal address and a name in /etc/hosts.
  //
  // Errors: kNotFound (no such name, or no address of the family), kDeadlineExceeded (no server answered), kUnavailable
  // (a server refused or failed), kInvalidArgument (not a host name), kResourceExhausted, kCancelled when the scope was
  // stopped: at once, and c-ares then forgets the query with its answer or its last timeout.
  ResolveOperation Resolve(std::string host, ResolveOptions options = {}) { return {this, std::move(host), options}; }

  // Lookups whose end c-ares has not told yet.
  size_t lookups() const { return lookups_; }

 private:
  struct Query;
  class Socket;
  struct RetryTimer : runtime::Timer {
    explicit RetryTimer(Resolver& resolver) : Timer(&OnTimer), resolver(resolver) {}
    Resolver& resolver;
  };

  Resolver(runtime::Reactor& reactor, const ResolverOptions& options);
  absl::Status Init(const ResolverOptions& options);
  // True when the answer is there already.
  bool Start(Awaiter& awaiter);
  // Lets c-ares read and write what is ready (-1: nothing) and look at its timeouts.
  void Process(int readable_fd, int writable_fd);
  void ArmTimer();
  void RemoveSocket(Socket& socket);

  static void OnTimer(runtime::Timer& timer, Nanos now_ns);
  static void OnAnswer(void* query, int status, int timeouts, ares_addrinfo* answer);
  static void OnSocketState(void* self, int fd, int readable, int writable);

  runtime::Reactor& reactor_;
  const size_t max_lookups_;
  ares_channeldata* channel_ = nullptr;
  RetryTimer timer_{*this};
  size_t lookups_ = 0;
  size_t awaited_ = 0;
  bool closing_ = false;
  std::vector<std::unique_ptr<Socket>> sockets_;  // as c-ares has them: one or two for each server
};

class Resolver::Awaiter : runtime::Waiter {
 public:
  Awaiter(Resolver& resolver, std::string host, ResolveOptions options)
      : Waiter(&OnStop), resolver_(resolver), host_(std::move(host)), options_(options) {}

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (!Suspend(self, "name resolution")) {
      status_ = absl::CancelledError("Resolve cancelled");
      return false;
    }
    if (!resolver_.Start(*this)) return true;
    StopListening();
    return false;
  }
  absl::StatusOr<std::vector<IpAddress>> await_resume() {
    if (!status_.ok()) return std::move(status_);
    return std::move(addresses_);
  }

 private:
  friend class Resolver;
  static void OnStop(StopCallback& callback);

  Resolver& resolver_;
  const std::string host_;
  const ResolveOptions options_;
  Query* query_ = nullptr;  // while c-ares works on it
  bool starting_ = false;
  absl::Status status_;
  std::vector<IpAddress> addresses_;
};

inline Resolver::Awaiter Resolver::ResolveOperation::operator co_await() && {
  return Awaiter(*resolver, std::move(host), options);
}

}  // namespace weir

#endif  // RUNTIME_IO_RESOLVER_H_
