/* mmsg_echo: the plainest competent UDP echo over kernel sockets: recvmmsg for what is there, up to 64 datagrams, and
 * one sendmmsg for all of them back.
 *
 *   mmsg_echo PORT
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { kBurst = 64, kBuffer = 2048 };

static char buffers[kBurst][kBuffer];
static struct sockaddr_in6 peers[kBurst];
static struct iovec pieces[kBurst];
static struct mmsghdr messages[kBurst];

static int Bind(int port) {
  /* Room for a thousand datagrams of an MTU, so that the client's window and not this buffer is the bound. */
  const int room = 4 << 20;
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port)};
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  }
  return bind(fd, (struct sockaddr*)&address, sizeof address) == 0 ? fd : -1;
}

int main(int argc, char** argv) {
  int port = argc == 2 ? atoi(argv[1]) : 0;
  if (port <= 0) {
    fprintf(stderr, "usage: mmsg_echo PORT\n");
    return 2;
  }
  int fd = Bind(port);
  if (fd < 0) {
    perror("mmsg_echo: bind");
    return 1;
  }
  printf("mmsg_echo: ready on port %d\n", port);
  fflush(stdout);
  for (int i = 0; i < kBurst; i++) {
    pieces[i].iov_base = buffers[i];
    messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
  }
  for (;;) {
    for (int i = 0; i < kBurst; i++) {
      pieces[i].iov_len = kBuffer;
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
    int n = recvmmsg(fd, messages, kBurst, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) pieces[i].iov_len = messages[i].msg_len;
    /* A datagram that cannot be sent is lost; the rest goes out. */
    for (int sent = 0; sent < n;) {
      int m = sendmmsg(fd, messages + sent, (unsigned)(n - sent), 0);
      sent += m > 0 ? m : 1;
    }
  }
}
