// FragmentHost: an InetTestHost of both versions with a UDP socket on port 7, whose peer sends fragments and puts
// together those that it gets.
#ifndef TESTS_NETSTACK_IP_FRAGMENT_HOST_H_
#define TESTS_NETSTACK_IP_FRAGMENT_HOST_H_

#include <map>
#include <string>
#include <vector>

#include "netstack/udp/udp_table.h"
#include "tests/support/inet_test_host.h"
#include "tests/support/packets6.h"

namespace weir::testing_support {

// One fragment as the peer sends it: `bytes` of the transport's header and payload.
struct FragmentSpec {
  bool v4 = true;
  uint32_t id = 1;
  uint8_t protocol = 17;
  size_t offset = 0;
  bool more = false;
  uint8_t tos = 0;
};
Bytes Fragment(const FragmentSpec& spec, View bytes);

// The frames of a packet of which every fragment but the last has `size` bytes.
std::vector<Bytes> Cut(FragmentSpec spec, View packet, size_t size);

// A datagram of the peer to port 7, from its UDP header on.
inline Bytes Datagram(bool v4, View payload) { return v4 ? Udp(4000, 7, payload) : Udp6(4000, 7, payload); }

class FragmentHost : public InetTestHost {
 public:
  explicit FragmentHost(Options options);
  FragmentHost() : FragmentHost(Options{}) {}
  ~FragmentHost();

  // How the frame ended: the name of the reason.
  std::string Take(const Bytes& frame);
  // The payload of the only datagram that waits on port 7; "" without one.
  Bytes TakeDatagram();
  bool has_datagram() const { return !sock_.receive_queue.empty(); }
  netstack::UdpSock& sock() { return sock_; }
  netstack::Reassembly& reassembly() { return inet().ip.reassembly; }

  // Puts together the one packet that the host sent in fragments, from its transport header on, after checking what
  // holds for each of them; a test failure otherwise. *frames: how many there were.
  Bytes Join(size_t* frames = nullptr);

 private:
  netstack::UdpSock sock_;
};

}  // namespace weir::testing_support

#endif  // TESTS_NETSTACK_IP_FRAGMENT_HOST_H_
