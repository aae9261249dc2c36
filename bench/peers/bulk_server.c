/* bulk_server: the plainest kernel server for bulk: a thread for each connection, which on one port reads and drops all
 * it gets (discard, RFC 863) and on the next writes as long as the peer takes it (chargen, RFC 864). Blocking calls: one
 * connection costs no epoll.
 *
 *   bulk_server PORT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kPorts = 2, kWrite = 65536, kRead = 262144 };

static char content[kWrite];

static void* Discard(void* fd) {
  char* buffer = malloc(kRead);
  while (buffer != NULL && recv((int)(intptr_t)fd, buffer, kRead, 0) > 0) {
  }
  free(buffer);
  close((int)(intptr_t)fd);
  return NULL;
}

static void* Generate(void* fd) {
  while (send((int)(intptr_t)fd, content, sizeof content, MSG_NOSIGNAL) > 0) {
  }
  close((int)(intptr_t)fd);
  return NULL;
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

int main(int argc, char** argv) {
  int port = argc == 2 ? atoi(argv[1]) : 0;
  if (port <= 0 || port >= 65535) {
    fprintf(stderr, "usage: bulk_server PORT\n");
    return 2;
  }
  memset(content, 'k', sizeof content);
  struct pollfd listeners[kPorts];
  for (int i = 0; i < kPorts; i++) {
    listeners[i] = (struct pollfd){.fd = Listen(port + i), .events = POLLIN};
    if (listeners[i].fd < 0) {
      perror("bulk_server: listen");
      return 1;
    }
  }
  printf("bulk_server: ready on ports %d and %d\n", port, port + 1);
  fflush(stdout);
  for (;;) {
    if (poll(listeners, kPorts, -1) < 0 && errno != EINTR) {
      perror("bulk_server: poll");
      return 1;
    }
    for (int i = 0; i < kPorts; i++) {
      if (!(listeners[i].revents & POLLIN)) continue;
      int fd = accept4(listeners[i].fd, NULL, NULL, SOCK_CLOEXEC);
      if (fd < 0) continue;
      pthread_t thread;
      if (pthread_create(&thread, NULL, i == 0 ? Discard : Generate, (void*)(intptr_t)fd) != 0) {
        close(fd);
      } else {
        pthread_detach(thread);
      }
    }
  }
}
