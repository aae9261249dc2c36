#include "netstack/ip/filter_hook.h"

#include <utility>

#include "netstack/wire/ipv4.h"
#include "netstack/wire/ipv6.h"
#include "netstack/wire/ipv6_extensions.h"

namespace weir::netstack {
namespace {

constexpr int kPriority = 0;  // NF_IP_PRI_FILTER

// What rules look at in the packet that `bytes` begin with. Headers that are cut short, or fragments behind the first,
// have no ports; rules that ask for ports then do not match.
FilterKey KeyOf(std::span<const std::byte> bytes) {
  FilterKey key;
  size_t transport = 0;
  bool later_fragment = false;
  if (runtime::LoadU8(bytes.data()) >> 4 == 4) {
    Ipv4Header header;
    header.Parse(bytes.data());
    key.source = IpAddress::V4(header.source);
    key.destination = IpAddress::V4(header.destination);
    key.protocol = header.protocol;
    transport = header.header_size;
    later_fragment = (header.fragment & Ipv4Header::kOffsetMask) != 0;
  } else {
    Ipv6Header header;
    header.Parse(bytes.data());
    const Ipv6ExtensionResult found = WalkIpv6Extensions(bytes.subspan(Ipv6Header::kSize), header.next_header);
    key.source = header.source;
    key.destination = header.destination;
    key.protocol = found.protocol;
    transport = Ipv6Header::kSize + found.offset;
    if (found.outcome == Ipv6ExtensionResult::Outcome::kFragment) {
      key.protocol = found.fragment.next_header;
      transport += Ipv6FragmentHeader::kSize;
      later_fragment = found.fragment.offset != 0;
    }
  }
  const bool has = key.protocol == kProtocolTcp || key.protocol == kProtocolUdp;
  key.has_ports = has && !later_fragment && transport + 4 <= bytes.size();
  if (key.has_ports) {
    key.source_port = runtime::LoadBe16(bytes.data() + transport);
    key.destination_port = runtime::LoadBe16(bytes.data() + transport + 2);
  }
  return key;
}

}  // namespace

template <Hook kHook>
Verdict FilterHook::OnPacket(void* self, HookPacket& packet) {
  return static_cast<FilterHook*>(self)->Decide(kHook, packet);
}

FilterHook::FilterHook(IpContext& context, Filter filter) : context_(context), filter_(std::move(filter)) {
  const auto add = [&](Hook hook, HookTable::Function function) {
    const bool needed = !filter_.rules(hook).empty() || filter_.policy(hook) != FilterVerdict::kAccept;
    if (needed) WEIR_CHECK(context_.hooks.Register(hook, kPriority, function, this));
  };
  add(Hook::kPreRouting, &OnPacket<Hook::kPreRouting>);
  add(Hook::kLocalIn, &OnPacket<Hook::kLocalIn>);
  add(Hook::kForward, &OnPacket<Hook::kForward>);
  add(Hook::kLocalOut, &OnPacket<Hook::kLocalOut>);
  add(Hook::kPostRouting, &OnPacket<Hook::kPostRouting>);
}

FilterHook::~FilterHook() {
  context_.hooks.Unregister(Hook::kPreRouting, &OnPacket<Hook::kPreRouting>, this);
  context_.hooks.Unregister(Hook::kLocalIn, &OnPacket<Hook::kLocalIn>, this);
  context_.hooks.Unregister(Hook::kForward, &OnPacket<Hook::kForward>, this);
  context_.hooks.Unregister(Hook::kLocalOut, &OnPacket<Hook::kLocalOut>, this);
  context_.hooks.Unregister(Hook::kPostRouting, &OnPacket<Hook::kPostRouting>, this);
}

Verdict FilterHook::Decide(Hook hook, const HookPacket& packet) {
  FilterKey key = KeyOf(packet.frame.bytes());
  if (packet.in != nullptr) key.in_interface = packet.in->device.name();
  const FilterVerdict verdict = filter_.Match(hook, key, packet.frame.len, packet.now_ns);
  return verdict == FilterVerdict::kAccept ? Verdict::kAccept : Verdict::kDrop;
}

}  // namespace weir::netstack
