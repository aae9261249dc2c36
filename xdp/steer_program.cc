#include "xdp/steer_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"
#include "xdp/bpf/steer.h"
// The skeleton's types come from steer.h.
#include "xdp/bpf/steer.skel.h"

namespace weir::xdp {
namespace {

constexpr char kPrivileges[] =
    "needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; or use --stack=kernel";

// libbpf writes what it thinks of an error to stderr. We keep its last warning of this thread, for errors
// that we cannot explain better, and print nothing.
thread_local char last_warning[256];

int KeepWarning(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_WARN) std::vsnprintf(last_warning, sizeof last_warning, format, arguments);
  return 0;
}

// Without the end of its line; empty: there was none.
absl::string_view LastWarning() {
  absl::string_view warning = last_warning;
  while (!warning.empty() && warning.back() == '\n') warning.remove_suffix(1);
  return warning;
}

// "what: strerror", with libbpf's warning when it left one.
absl::Status LibbpfError(int error, absl::string_view what) {
  const absl::string_view warning = LastWarning();
  if (warning.empty()) return runtime::ErrnoStatus(error, what);
  return runtime::ErrnoStatus(error, absl::StrCat(what, " (", warning, ")"));
}

absl::Status LoadError(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat("loading an XDP program ", kPrivileges));
    case ENOSYS:
      return absl::UnimplementedError(
          "this kernel has no BPF (CONFIG_BPF_SYSCALL): use --stack=kernel");
    case EINVAL:
    case EOPNOTSUPP:
      return absl::UnimplementedError(absl::StrCat(
          "this kernel does not take the XDP program: it needs Linux 5.18 or later with CONFIG_XDP_SOCKETS; or use "
          "--stack=kernel (", LastWarning().empty() ? strerror(error) : LastWarning(), ")"));
    default:
      return LibbpfError(error, "cannot load the XDP program");
  }
}

// "12 (xdp_dispatcher)", or only the number when its name cannot be read.
std::string DescribeProgram(uint32_t id) {
  const runtime::UniqueFd fd(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info = {};
  uint32_t size = sizeof info;
  if (!fd.valid() || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0) return absl::StrCat(id);
  return absl::StrCat(id, " (", info.name, ")");
}

absl::Status AlreadyAttached(const InterfaceInfo& interface, uint32_t id) {
  const std::string program = id != 0 ? absl::StrCat(" ", DescribeProgram(id)) : "";
  return absl::AlreadyExistsError(absl::StrCat(
      "interface ", interface.name, " has another XDP program", program,
      ": stop the process that holds it, or 'ip link set dev ", interface.name, " xdp off'"));
}

absl::Status AttachError(int error, const InterfaceInfo& interface, AttachMode wanted) {
  uint32_t id = 0;
  switch (error) {
    case EBUSY:
    case EEXIST:
      bpf_xdp_query_id(interface.index, 0, &id);  // 0 when it went in between
      return AlreadyAttached(interface, id);
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat("attaching an XDP program ", kPrivileges));
    case EOPNOTSUPP:
      return absl::UnimplementedError(absl::StrCat(
          "driver ", interface.driver, " of ", interface.name, " has no XDP",
          wanted == AttachMode::kNative ? ": use --xdp_attach=auto or generic" : ": use --stack=kernel"));
    default:
      return runtime::ErrnoStatus(
          error, absl::StrCat("cannot attach the XDP program to ", interface.name, " (driver ",
                              interface.driver, ", MTU ", interface.mtu, "; drivers refuse XDP above an MTU "
                              "of about a page: 'ip link set ", interface.name, " mtu 1500')"));
  }
}

absl::Status CheckVlans(const std::vector<uint16_t>& vlans) {
  if (vlans.size() > STEER_MAX_TAGS) {
    return absl::InvalidArgumentError(
        absl::StrCat(vlans.size(), " VLAN tags: at most ", STEER_MAX_TAGS, " are understood"));
  }
  for (const uint16_t vid : vlans) {
    if (vid < 1 || vid > 4094) {
      return absl::InvalidArgumentError(absl::StrCat("VLAN ", vid, ": IDs are 1 to 4094"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

const char* AttachModeName(AttachMode mode) {
  switch (mode) {
    case AttachMode::kAuto:
      return "auto";
    case AttachMode::kNative:
      return "native";
    case AttachMode::kGeneric:
      return "generic";
  }
  return "unknown";
}

void SteerProgram::SkeletonDeleter::operator()(steer_bpf* skeleton) const {
  steer_bpf__destroy(skeleton);
}

SteerProgram::~SteerProgram() = default;

absl::StatusOr<std::unique_ptr<SteerProgram>> SteerProgram::Attach(const Options& options) {
  if (absl::Status status = CheckVlans(options.vlans); !status.ok()) return status;
  absl::StatusOr<InterfaceInfo> interface = ReadInterfaceInfo(options.interface);
  if (!interface.ok()) return interface.status();

  std::unique_ptr<SteerProgram> program(new SteerProgram);
  program->interface_ = *std::move(interface);
  libbpf_set_print(KeepWarning);
  last_warning[0] = '\0';
  uint32_t id = 0;
  if (bpf_xdp_query_id(program->interface_.index, 0, &id) == 0 && id != 0) {
    return AlreadyAttached(program->interface_, id);
  }
  if (absl::Status status = program->Load(options); !status.ok()) return status;
  if (options.transit) {
    if (absl::Status status = program->ExcludeKernelAddresses(); !status.ok()) return status;
  }
  if (absl::Status status = program->AttachLink(options.attach); !status.ok()) return status;
  return program;
}

absl::Status SteerProgram::Load(const Options& options) {
  skeleton_.reset(steer_bpf__open());
  if (skeleton_ == nullptr) return LibbpfError(errno, "cannot open the XDP program");
  skeleton_->rodata->vlan.count = static_cast<uint16_t>(options.vlans.size());
  for (size_t i = 0; i < options.vlans.size(); ++i) skeleton_->rodata->vlan.vid[i] = options.vlans[i];
  skeleton_->rodata->transit.enabled = options.transit ? 1 : 0;
  std::copy(interface_.mac.begin(), interface_.mac.end(), skeleton_->rodata->transit.mac);
  const int error = -steer_bpf__load(skeleton_.get());
  return error == 0 ? absl::OkStatus() : LoadError(error);
}

absl::Status SteerProgram::AttachLink(AttachMode wanted) {
  const int program_fd = bpf_program__fd(skeleton_->progs.steer);
  const auto create = [&](uint32_t flags) {
    LIBBPF_OPTS(bpf_link_create_opts, link_options, .flags = flags);
    return bpf_link_create(program_fd, interface_.index, BPF_XDP, &link_options);
  };
  int result = -EOPNOTSUPP;
  if (wanted != AttachMode::kGeneric) {
    result = create(XDP_FLAGS_DRV_MODE);
    mode_ = AttachMode::kNative;
    const bool refused =
        result < 0 && result != -EBUSY && result != -EEXIST && result != -EPERM && result != -EACCES;
    if (refused && wanted == AttachMode::kAuto) wanted = AttachMode::kGeneric;
  }
  if (wanted == AttachMode::kGeneric) {
    result = create(XDP_FLAGS_SKB_MODE);
    mode_ = AttachMode::kGeneric;
  }
  if (result < 0) return AttachError(-result, interface_, wanted);
  link_ = runtime::UniqueFd(result);
  return absl::OkStatus();
}

absl::Status SteerProgram::ExcludeKernelAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return runtime::ErrnoStatus(errno, "cannot list the kernel's addresses");
  absl::Status status;
  for (const ifaddrs* entry = list; entry != nullptr && status.ok(); entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto& ip = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr;
      status = Update(skeleton_->maps.own_addresses4, &ip, sizeof ip, true, STEER_KERNELS);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto& ip = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr;
      status = Update(skeleton_->maps.own_addresses6, &ip, sizeof ip, true, STEER_KERNELS);
    }
  }
  freeifaddrs(list);
  return status;
}

absl::Status SteerProgram::Update(const bpf_map* map, const void* key, size_t key_size, bool add, steer_owner owner) {
  const auto present = static_cast<uint8_t>(owner);
  const int result =
      add ? bpf_map__update_elem(map, key, key_size, &present, sizeof present, BPF_ANY)
          : bpf_map__delete_elem(map, key, key_size, 0);
  if (result == 0 || (!add && result == -ENOENT)) return absl::OkStatus();
  if (result == -E2BIG) {
    return absl::ResourceExhaustedError(absl::StrCat("the XDP program on ", interface_.name, " has ",
                                                     STEER_MAX_ADDRESSES, " addresses already"));
  }
  return runtime::ErrnoStatus(-result, "cannot change the addresses of the XDP program");
}

absl::Status SteerProgram::AddAddress4(uint32_t address) {
  return Update(skeleton_->maps.own_addresses4, &address, sizeof address, true);
}

absl::Status SteerProgram::RemoveAddress4(uint32_t address) {
  return Update(skeleton_->maps.own_addresses4, &address, sizeof address, false);
}

absl::Status SteerProgram::AddAddress6(const std::array<uint8_t, 16>& address) {
  return Update(skeleton_->maps.own_addresses6, address.data(), address.size(), true);
}

absl::Status SteerProgram::RemoveAddress6(const std::array<uint8_t, 16>& address) {
  return Update(skeleton_->maps.own_addresses6, address.data(), address.size(), false);
}

absl::Status SteerProgram::RegisterSocket(uint32_t queue, int xsk_fd) {
  const int result = bpf_map__update_elem(skeleton_->maps.xsks, &queue, sizeof queue, &xsk_fd,
                                          sizeof xsk_fd, BPF_ANY);
  if (result == 0) return absl::OkStatus();
  if (result == -E2BIG) {
    return absl::InvalidArgumentError(
        absl::StrCat("queue ", queue, ": the XDP program serves queues 0 to ", STEER_MAX_QUEUES - 1));
  }
  return runtime::ErrnoStatus(-result,
                              absl::StrCat("cannot give queue ", queue, " of ", interface_.name,
                                           " to its AF_XDP socket"));
}

std::vector<SteerProgram::Counter> SteerProgram::Counters() const {
  std::vector<Counter> counters = {
#define STEER_COUNTER(enumerator, name, help) {name, help, 0},
      STEER_COUNTERS(STEER_COUNTER)
#undef STEER_COUNTER
  };
  // The kernel fills one value for each possible CPU.
  const int cpus = libbpf_num_possible_cpus();
  std::vector<uint64_t> values(cpus > 0 ? static_cast<size_t>(cpus) : 1);
  for (uint32_t i = 0; i < counters.size(); ++i) {
    if (bpf_map__lookup_elem(skeleton_->maps.counters, &i, sizeof i, values.data(),
                             values.size() * sizeof(uint64_t), 0) != 0) {
      continue;
    }
    for (const uint64_t value : values) counters[i].value += value;
  }
  return counters;
}

}  // namespace weir::xdp
