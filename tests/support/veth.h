// Two network namespaces joined by a veth pair, for tests that need real interfaces. Needs root; a test that
// uses it has needs_root = True and says SKIPPED where Available() gives a reason.
//
//   auto pair = weir::testing_support::VethPair::Create();
//   ASSERT_TRUE(pair.ok()) << pair.status();
//   const NamespaceScope in_server((*pair)->server());   // this thread is there until the scope ends
//   ... VethPair::kDevice ...
#ifndef TESTS_SUPPORT_VETH_H_
#define TESTS_SUPPORT_VETH_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"

namespace weir::testing_support {

// Runs a shell command; its output is in the error's message when it fails. `ip` is found in sbin.
absl::Status RunCommand(const std::string& command);

// Moves the calling thread into a named namespace, and back when it goes. Sockets keep the namespace they were
// made in. Aborts when the namespace does not exist.
class NamespaceScope {
 public:
  explicit NamespaceScope(const std::string& name);
  NamespaceScope(const NamespaceScope&) = delete;
  NamespaceScope& operator=(const NamespaceScope&) = delete;
  ~NamespaceScope();

 private:
  runtime::UniqueFd previous_;
};

// The pair and its namespaces, removed with the object. Names carry the process ID, so that tests do not meet;
// what a killed test left is removed by the next one.
class VethPair {
 public:
  static constexpr char kDevice[] = "weir0";  // in both namespaces

  struct Options {
    int queues = 1;     // rx and tx queues at each end
    bool ipv6 = false;  // off: the kernel sends nothing of its own on the wire
    int mtu = 1500;
  };

  // Empty, or why a pair cannot be made here.
  static std::string Available();

  static absl::StatusOr<std::unique_ptr<VethPair>> Create(const Options& options);
  static absl::StatusOr<std::unique_ptr<VethPair>> Create() { return Create(Options()); }

  VethPair(const VethPair&) = delete;
  VethPair& operator=(const VethPair&) = delete;
  ~VethPair();

  // Names of the namespaces, for NamespaceScope and `ip netns exec`.
  const std::string& server() const { return server_; }
  const std::string& client() const { return client_; }

  // The devices' MAC addresses, set by Create so that tests can write them down.
  static constexpr std::array<uint8_t, 6> kServerMac = {2, 0, 0, 0, 0, 1};
  static constexpr std::array<uint8_t, 6> kClientMac = {2, 0, 0, 0, 0, 2};

 private:
  VethPair() = default;

  std::string server_;
  std::string client_;
};

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_VETH_H_
