/* epoll_echo: the plainest competent TCP echo over epoll: one thread, level-triggered, a non-blocking read and write for
 * each ready connection, accept4 until there are no more.
 *
 *   epoll_echo PORT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kEvents = 256, kBuffer = 65536 };

static char buffer[kBuffer];

static int Listen(int port) {
  const int one = 1;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 1024) != 0) return -1;
  return fd;
}

static void Accept(int epoll, int listener) {
  const int one = 1;
  int fd;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) close(fd);
  }
}

/* Sends all of it; where the peer does not read, waits for it: a benchmark's client does. Returns 0, or -1. */
static int SendAll(int fd, const char* data, ssize_t size) {
  while (size > 0) {
    ssize_t n = send(fd, data, (size_t)size, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) continue;
    if (n < 0) return -1;
    data += n;
    size -= n;
  }
  return 0;
}

static void Echo(int fd) {
  ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 || SendAll(fd, buffer, n) != 0) close(fd);
}

int main(int argc, char** argv) {
  int port = argc == 2 ? atoi(argv[1]) : 0;
  if (port <= 0) {
    fprintf(stderr, "usage: epoll_echo PORT\n");
    return 2;
  }
  int listener = Listen(port);
  if (listener < 0) {
    perror("epoll_echo: listen");
    return 1;
  }
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[kEvents];
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) {
    perror("epoll_echo: epoll");
    return 1;
  }
  printf("epoll_echo: ready on port %d\n", port);
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(epoll, events, kEvents, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.fd == listener) {
        Accept(epoll, listener);
      } else {
        Echo(events[i].data.fd);
      }
    }
  }
}
