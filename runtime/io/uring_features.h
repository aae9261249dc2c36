// UringFeatures: what newer kernels have beyond Linux 6.1, which is weir's floor. Each has a path for kernels without it.
#ifndef RUNTIME_IO_URING_FEATURES_H_
#define RUNTIME_IO_URING_FEATURES_H_

namespace weir::runtime {

struct UringFeatures {
  // A message to another thread's ring wakes it although it defers its work (IORING_SETUP_DEFER_TASKRUN): Linux 6.3.
  bool msg_ring = false;
  // A fixed file that is taken out of the table is released when the operations on it are done: Linux 6.13. Before, it
  // waited for all operations on fixed files that had begun earlier, and a closed connection's FIN with it.
  bool fixed_files = false;
  // A send by reference says whether the kernel copied all the same (IORING_SEND_ZC_REPORT_USAGE): Linux 6.2.
  bool send_zc_report = false;

  // By the operations that the kernel knows (IORING_REGISTER_PROBE) and, where that does not tell, its release.
  static UringFeatures OfThisKernel();
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_URING_FEATURES_H_
