#include "runtime/io/fixed_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "runtime/base/check.h"

namespace weir::runtime {
namespace {

constexpr int kEmpty = -1;

}  // namespace

FixedFiles::FixedFiles(Uring& uring, bool enabled) : uring_(uring) {
  rlimit limit{};
  if (!enabled || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto entries = static_cast<uint32_t>(std::min<rlim_t>(limit.rlim_cur, kMaxEntries));
  if (entries == 0 || io_uring_register_files_sparse(uring_.raw(), entries) != 0) return;
  fds_.assign(entries, kEmpty);
  for (uint32_t i = entries; i > 0; --i) free_.push_back(static_cast<int>(i - 1));
}

int FixedFiles::Add(int fd) {
  if (free_.empty()) return kNone;
  const int slot = free_.back();
  free_.pop_back();
  fds_[static_cast<size_t>(slot)] = fd;
  Update(slot, fds_[static_cast<size_t>(slot)]);
  return slot;
}

void FixedFiles::Remove(int slot) {
  WEIR_CHECK(slot >= 0 && static_cast<size_t>(slot) < fds_.size());
  Update(slot, kEmpty);
  free_.push_back(slot);
}

void FixedFiles::Update(int slot, const int& fd) {
  io_uring_sqe* sqe = uring_.GetSqe();
  io_uring_prep_files_update(sqe, const_cast<int*>(&fd), 1, slot);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = 0;
}

void FixedFile::Enter(FixedFiles& files) {
  const int slot = files.Add(fd_);
  if (slot == FixedFiles::kNone) return;
  file_ = slot;
  sqe_flags_ = IOSQE_FIXED_FILE;
}

bool FixedFile::FallBack(FixedFiles& files, int result) {
  if (result != -EBADF || sqe_flags_ == 0) return false;
  Leave(files);
  return true;
}

void FixedFile::Leave(FixedFiles& files) {
  if (sqe_flags_ == 0) return;
  files.Remove(file_);
  file_ = fd_;
  sqe_flags_ = 0;
}

}  // namespace weir::runtime
