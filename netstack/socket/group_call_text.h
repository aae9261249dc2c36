// What a call of memberships was, for the error that it came to.
#ifndef NETSTACK_SOCKET_GROUP_CALL_TEXT_H_
#define NETSTACK_SOCKET_GROUP_CALL_TEXT_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "netstack/ip/group_call.h"
#include "runtime/base/ip_address.h"

namespace weir::netstack {

// "cannot join source 10.0.0.2 of group 239.1.1.1 on interface 3"
inline std::string GroupCallText(GroupCall call, const IpAddress& group, const IpAddress& source, uint32_t interface) {
  // In the order of GroupCall.
  static constexpr const char* kVerbs[] = {"join", "leave", "block source", "unblock source", "join source",
                                           "leave source"};
  std::string text = absl::StrCat("cannot ", kVerbs[static_cast<size_t>(call)]);
  if (call != GroupCall::kJoin && call != GroupCall::kLeave) absl::StrAppend(&text, " ", source.ToString(), " of");
  absl::StrAppend(&text, " group ", group.ToString());
  if (interface != 0) absl::StrAppend(&text, " on interface ", interface);
  return text;
}

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_GROUP_CALL_TEXT_H_
