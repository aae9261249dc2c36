#include "runtime/io/resolver.h"

#include <ares.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

namespace weir {
namespace {

// The longest name in its text form (RFC 1035 §3.1: 255 octets with the lengths).
constexpr size_t kMaxHostName = 253;

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
      return absl::StatusCode::kNotFound;
    case ARES_ETIMEOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ARES_ESERVFAIL:
    case ARES_EREFUSED:
    case ARES_ENOTIMP:
    case ARES_EBADRESP:
    case ARES_EFORMERR:
    case ARES_ECONNREFUSED:
      return absl::StatusCode::kUnavailable;
    case ARES_EBADNAME:
      return absl::StatusCode::kInvalidArgument;
    case ARES_ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorOf(int status, const std::string& host) {
  return absl::Status(CodeOf(status), absl::StrCat("cannot resolve '", host, "': ", ares_strerror(status)));
}

int FamilyOf(AddressFamily family) {
  if (family == AddressFamily::kAny) return AF_UNSPEC;
  return family == AddressFamily::kIpv4 ? AF_INET : AF_INET6;
}

void AppendAddress(const sockaddr* address, std::vector<IpAddress>& to) {
  IpAddress ip;
  if (address->sa_family == AF_INET) {
    ip = IpAddress::V4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  } else if (address->sa_family == AF_INET6) {
    std::array<uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, bytes.size());
    ip = IpAddress::V6(bytes);
  } else {
    return;
  }
  if (std::find(to.begin(), to.end(), ip) == to.end()) to.push_back(ip);
}

}  // namespace

// What c-ares gives back with the answer. It outlives an awaiter that was cancelled: c-ares cannot drop a single query.
struct Resolver::Query {
  Resolver& resolver;
  Awaiter* awaiter;  // nullptr: nobody waits any more
};

// A socket of c-ares, which opens and closes it; polled for what c-ares wants to know. The object stays until the
// poll's final completion, after c-ares may have closed the descriptor.
class Resolver::Socket : public runtime::UringOp {
 public:
  Socket(Resolver& resolver, int fd) : UringOp(&OnPoll), resolver_(resolver), fd_(fd) {}

  bool Is(int fd) const { return fd_ == fd && !closed_; }

  void Want(unsigned events) {
    if (events == wanted_) return;
    wanted_ = events;
    if (in_flight()) {
      resolver_.reactor_.Cancel(*this);  // armed anew with its completion
    } else if (!busy_) {
      Arm();
    }
  }
  void Close() {
    closed_ = true;
    if (in_flight()) {
      resolver_.reactor_.Cancel(*this);
    } else if (!busy_ && !resolver_.closing_) {
      resolver_.RemoveSocket(*this);
    }
  }

 private:
  void Arm() { io_uring_prep_poll_add(resolver_.reactor_.Prepare(*this), fd_, wanted_); }

  static void OnPoll(UringOp& op, int32_t result, uint32_t) {
    auto& self = static_cast<Socket&>(op);
    if (self.resolver_.closing_) return;
    if (!self.closed_ && result != -ECANCELED) {
      // An error is for c-ares to find, whichever way it looks.
      const unsigned events = result < 0 ? POLLERR : static_cast<unsigned>(result);
      const bool failed = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      self.busy_ = true;
      self.resolver_.Process((events & POLLIN) != 0 || failed ? self.fd_ : -1,
                             (events & POLLOUT) != 0 || (failed && (self.wanted_ & POLLOUT) != 0) ? self.fd_ : -1);
      self.busy_ = false;
    }
    if (self.closed_) {
      self.resolver_.RemoveSocket(self);
    } else {
      self.Arm();
    }
  }

  Resolver& resolver_;
  const int fd_;
  unsigned wanted_ = 0;
  bool busy_ = false;  // c-ares is working on it
  bool closed_ = false;
};

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::Create(runtime::Reactor& reactor, const ResolverOptions& options) {
  std::unique_ptr<Resolver> resolver(new Resolver(reactor, options));
  absl::Status status = resolver->Init(options);
  if (!status.ok()) return status;
  return resolver;
}

Resolver::Resolver(runtime::Reactor& reactor, const ResolverOptions& options)
    : reactor_(reactor), max_lookups_(options.max_lookups) {}

absl::Status Resolver::Init(const ResolverOptions& options) {
  // Counts its calls without a lock; other shards call it too.
  static std::once_flag once;
  static int library = ARES_SUCCESS;
  std::call_once(once, [] { library = ares_library_init(ARES_LIB_INIT_ALL); });
  if (library != ARES_SUCCESS) return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(library)));

  ares_options ares{};
  ares.timeout = static_cast<int>(std::clamp<Nanos>(options.timeout_ns / kMillisecond, 1, 3'600'000));
  ares.tries = std::max(options.tries, 1);
  ares.sock_state_cb = &OnSocketState;
  ares.sock_state_cb_data = this;
  char lookups[] = "fb";  // /etc/hosts, then DNS
  ares.lookups = lookups;
  int status = ares_init_options(&channel_, &ares,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS);
  if (status != ARES_SUCCESS) {
    channel_ = nullptr;
    return absl::InternalError(absl::StrCat("c-ares: ", ares_strerror(status)));
  }
  if (options.servers.empty()) return absl::OkStatus();
  status = ares_set_servers_ports_csv(channel_, options.servers.c_str());
  if (status == ARES_SUCCESS) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("DNS servers '", options.servers, "': ", ares_strerror(status)));
}

Resolver::~Resolver() {
  WEIR_CHECK(awaited_ == 0);
  closing_ = true;
  reactor_.scheduler().timers().Cancel(timer_);
  if (channel_ != nullptr) ares_destroy(channel_);  // ends every query and closes every socket
  for (const std::unique_ptr<Socket>& socket : sockets_) reactor_.CancelAndDrain(*socket);
}

bool Resolver::Start(Awaiter& awaiter) {
  const std::string& host = awaiter.host_;
  const AddressFamily family = awaiter.options_.family;
  const absl::StatusOr<IpAddress> literal = IpAddress::Parse(host);
  if (literal.ok()) {
    if (family == AddressFamily::kAny || (family == AddressFamily::kIpv4) == literal->is_v4()) {
      awaiter.addresses_.push_back(*literal);
    } else {
      awaiter.status_ = absl::NotFoundError(absl::StrCat("'", host, "' is an address of the other family"));
    }
    return true;
  }
  if (host.empty() || host.size() > kMaxHostName + (host.back() == '.') || host.find('\0') != std::string::npos) {
    awaiter.status_ = absl::InvalidArgumentError(absl::StrCat("'", host.substr(0, 64), "' is no host name"));
    return true;
  }
  if (lookups_ >= max_lookups_) {
    awaiter.status_ = absl::ResourceExhaustedError(absl::StrCat(lookups_, " lookups are under way"));
    return true;
  }
  ++lookups_;
  ++awaited_;
  awaiter.query_ = new Query{*this, &awaiter};
  awaiter.starting_ = true;
  const ares_addrinfo_hints hints{.ai_flags = 0, .ai_family = FamilyOf(family), .ai_socktype = SOCK_STREAM};
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &OnAnswer, awaiter.query_);
  awaiter.starting_ = false;
  ArmTimer();
  return awaiter.query_ == nullptr;
}

void Resolver::OnAnswer(void* arg, int status, int, ares_addrinfo* answer) {
  std::unique_ptr<Query> query(static_cast<Query*>(arg));
  --query->resolver.lookups_;
  if (Awaiter* awaiter = query->awaiter) {
    --query->resolver.awaited_;
    awaiter->query_ = nullptr;
    for (const ares_addrinfo_node* node = answer != nullptr ? answer->nodes : nullptr; node != nullptr;
         node = node->ai_next) {
      AppendAddress(node->ai_addr, awaiter->addresses_);
    }
    if (awaiter->addresses_.empty()) {
      awaiter->status_ = ErrorOf(status == ARES_SUCCESS ? ARES_ENODATA : status, awaiter->host_);
    }
    if (!awaiter->starting_) awaiter->Wake();
  }
  if (answer != nullptr) ares_freeaddrinfo(answer);
}

void Resolver::Awaiter::OnStop(StopCallback& callback) {
  auto& self = static_cast<Awaiter&>(callback);
  --self.resolver_.awaited_;
  std::exchange(self.query_, nullptr)->awaiter = nullptr;
  self.status_ = absl::CancelledError("Resolve cancelled");
  self.Wake();
}

void Resolver::Process(int readable_fd, int writable_fd) {
  ares_process_fd(channel_, readable_fd < 0 ? ARES_SOCKET_BAD : readable_fd,
                  writable_fd < 0 ? ARES_SOCKET_BAD : writable_fd);
  ArmTimer();
}

// c-ares reads the clock itself; a timer that comes a little early by that clock only asks again.
void Resolver::ArmTimer() {
  runtime::Scheduler& scheduler = reactor_.scheduler();
  timeval left{};
  if (ares_timeout(channel_, nullptr, &left) == nullptr) return scheduler.timers().Cancel(timer_);
  const Nanos left_ns = left.tv_sec * kSecond + left.tv_usec * kMicrosecond;
  scheduler.timers().Arm(timer_, SaturatingAdd(scheduler.now_ns(), left_ns));
}

void Resolver::OnTimer(runtime::Timer& timer, Nanos) { static_cast<RetryTimer&>(timer).resolver.Process(-1, -1); }

// c-ares tells what it wants to know of `fd`; neither, that it is about to close it.
void Resolver::OnSocketState(void* arg, int fd, int readable, int writable) {
  auto& self = *static_cast<Resolver*>(arg);
  const auto found = std::find_if(self.sockets_.begin(), self.sockets_.end(),
                                  [&](const std::unique_ptr<Socket>& socket) { return socket->Is(fd); });
  const unsigned events = (readable != 0 ? unsigned{POLLIN} : 0u) | (writable != 0 ? unsigned{POLLOUT} : 0u);
  if (found != self.sockets_.end()) {
    events != 0 ? (*found)->Want(events) : (*found)->Close();
  } else if (events != 0) {
    self.sockets_.push_back(std::make_unique<Socket>(self, fd));
    self.sockets_.back()->Want(events);
  }
}

void Resolver::RemoveSocket(Socket& socket) {
  std::erase_if(sockets_, [&](const std::unique_ptr<Socket>& entry) { return entry.get() == &socket; });
}

}  // namespace weir
