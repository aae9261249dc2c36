/* uring_echo: the plainest competent TCP echo over io_uring, with liburing alone: one thread, multishot accept and receive,
 * a ring of provided buffers, the answer sent from the buffer that it came in, one system call a turn.
 *
 *   uring_echo PORT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kEntries = 4096, kBuffers = 8192, kBufferSize = 4096, kGroup = 1, kMaxFds = 65536, kNone = -1 };
enum Operation { kAccept, kReceive, kSend };

/* What came in on a connection and was not sent yet, in order: one buffer is on its way, the others wait. */
struct Connection {
  int first, last; /* buffers, or kNone */
  char receiving, ended;
};

static struct Connection connections[kMaxFds]; /* by file descriptor */
static struct {
  unsigned offset, size;
  int next;
} filled[kBuffers];
static char memory[kBuffers][kBufferSize];
static struct io_uring ring;
static struct io_uring_buf_ring* buffers;

static struct io_uring_sqe* Entry(void) {
  struct io_uring_sqe* entry = io_uring_get_sqe(&ring);
  if (entry != NULL) return entry;
  io_uring_submit(&ring);
  return io_uring_get_sqe(&ring);
}

/* After the prep function, which clears what was set before. */
static void Mark(struct io_uring_sqe* entry, enum Operation operation, int fd) {
  io_uring_sqe_set_data64(entry, (unsigned long long)operation << 32 | (unsigned)fd);
}

static void Accept(int listener) {
  struct io_uring_sqe* entry = Entry();
  io_uring_prep_multishot_accept(entry, listener, NULL, NULL, SOCK_CLOEXEC);
  Mark(entry, kAccept, listener);
}

static void Receive(int fd) {
  struct io_uring_sqe* entry = Entry();
  io_uring_prep_recv_multishot(entry, fd, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = kGroup;
  Mark(entry, kReceive, fd);
  connections[fd].receiving = 1;
}

static void Send(int fd) {
  const int buffer = connections[fd].first;
  struct io_uring_sqe* entry = Entry();
  io_uring_prep_send(entry, fd, memory[buffer] + filled[buffer].offset, filled[buffer].size, MSG_NOSIGNAL);
  Mark(entry, kSend, fd);
}

static void GiveBack(int buffer) {
  io_uring_buf_ring_add(buffers, memory[buffer], kBufferSize, (unsigned short)buffer,
                        io_uring_buf_ring_mask(kBuffers), 0);
  io_uring_buf_ring_advance(buffers, 1);
}

static void CloseWhenIdle(int fd) {
  struct Connection* connection = &connections[fd];
  if (connection->ended && !connection->receiving && connection->first == kNone) close(fd);
}

static void Accepted(const struct io_uring_cqe* done, int listener) {
  const int one = 1, fd = done->res;
  if (!(done->flags & IORING_CQE_F_MORE)) Accept(listener);
  if (fd < 0) return;
  if (fd >= kMaxFds) {
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  connections[fd] = (struct Connection){.first = kNone, .last = kNone};
  Receive(fd);
}

static void Received(const struct io_uring_cqe* done, int fd) {
  struct Connection* connection = &connections[fd];
  if (!(done->flags & IORING_CQE_F_MORE)) connection->receiving = 0;
  if (done->res > 0) {
    const int buffer = (int)(done->flags >> IORING_CQE_BUFFER_SHIFT), idle = connection->first == kNone;
    filled[buffer].offset = 0;
    filled[buffer].size = (unsigned)done->res;
    filled[buffer].next = kNone;
    if (idle) {
      connection->first = buffer;
    } else {
      filled[connection->last].next = buffer;
    }
    connection->last = buffer;
    if (idle) Send(fd);
  } else if (done->res != -ENOBUFS) {
    connection->ended = 1;
  }
  if (!connection->receiving && !connection->ended) Receive(fd);
  CloseWhenIdle(fd);
}

static void Sent(const struct io_uring_cqe* done, int fd) {
  struct Connection* connection = &connections[fd];
  const int buffer = connection->first;
  if (done->res >= 0 && (unsigned)done->res < filled[buffer].size) { /* a part of it */
    filled[buffer].offset += (unsigned)done->res;
    filled[buffer].size -= (unsigned)done->res;
    Send(fd);
    return;
  }
  connection->first = filled[buffer].next;
  GiveBack(buffer);
  if (done->res < 0) shutdown(fd, SHUT_RDWR); /* the receiving then ends, too */
  if (connection->first != kNone) Send(fd);
  CloseWhenIdle(fd);
}

static int Listen(int port) {
  const int one = 1;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 1024) != 0) return -1;
  return fd;
}

static int SetUp(void) {
  struct rlimit files = {kMaxFds, kMaxFds};
  struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                            IORING_SETUP_CQSIZE,
                                   .cq_entries = 4 * kEntries};
  setrlimit(RLIMIT_NOFILE, &files);
  int error = io_uring_queue_init_params(kEntries, &ring, &params);
  if (error < 0) return error;
  if (posix_memalign((void**)&buffers, 4096, kBuffers * sizeof(struct io_uring_buf)) != 0) return -ENOMEM;
  struct io_uring_buf_reg reg = {.ring_addr = (unsigned long)buffers, .ring_entries = kBuffers, .bgid = kGroup};
  io_uring_buf_ring_init(buffers);
  error = io_uring_register_buf_ring(&ring, &reg, 0);
  for (int i = 0; error == 0 && i < kBuffers; i++) GiveBack(i);
  return error;
}

int main(int argc, char** argv) {
  const int port = argc == 2 ? atoi(argv[1]) : 0;
  if (port <= 0) {
    fprintf(stderr, "usage: uring_echo PORT\n");
    return 2;
  }
  const int listener = Listen(port);
  if (listener < 0) {
    perror("uring_echo: listen");
    return 1;
  }
  const int error = SetUp();
  if (error < 0) {
    fprintf(stderr, "uring_echo: io_uring: %s\n", strerror(-error));
    return 1;
  }
  Accept(listener);
  printf("uring_echo: ready on port %d\n", port);
  fflush(stdout);
  for (;;) {
    struct io_uring_cqe* done;
    unsigned head, count = 0;
    io_uring_submit_and_wait(&ring, 1);
    io_uring_for_each_cqe(&ring, head, done) {
      const int fd = (int)(done->user_data & 0xffffffff);
      switch ((enum Operation)(done->user_data >> 32)) {
        case kAccept: Accepted(done, fd); break;
        case kReceive: Received(done, fd); break;
        case kSend: Sent(done, fd); break;
      }
      count++;
    }
    io_uring_cq_advance(&ring, count);
  }
}
