// GroupCall: what a program may ask of its membership of a group (RFC 3678 §5.1). The first four fit any-source
// memberships, which begin with kJoin; the source-specific ones begin with kJoinSource.
#ifndef NETSTACK_IP_GROUP_CALL_H_
#define NETSTACK_IP_GROUP_CALL_H_

#include <cstdint>

namespace weir::netstack {

enum class GroupCall : uint8_t { kJoin, kLeave, kBlockSource, kUnblockSource, kJoinSource, kLeaveSource };

}  // namespace weir::netstack

#endif  // NETSTACK_IP_GROUP_CALL_H_
