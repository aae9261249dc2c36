"""The scripted session: TCP. Each function takes a World, and its lines must be the same over every stack."""
import select
import socket
import struct
import time

from agent_client import address_text, v4, v6
from session_world import (AGENT4, F_GETFL, F_SETFL, MSG_DONTWAIT, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_WAITALL, NOBODY4,
                           ONES, PEER4, POLLIN, POLLOUT, POLLRDHUP, SIOCINQ, SIOCOUTQ, SOCK_CLOEXEC, SOCK_NONBLOCK)

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
UNSPEC = struct.pack("=H14x", 0)


def tcp_sockets(w):
    for domain, kind, protocol in ((2, 1, 0), (2, 1, 6), (10, 1, 6), (2, 1, 17), (2, 2, 6), (2, 9, 0), (99, 1, 0),
                                   (2, 77, 0), (2, 1, 300),
                                   (2, 1, -1), (-1, 1, 0), (2, 1 | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)):
        answer = w.agent.socket(domain, kind, protocol)
        w.say(f"socket({domain}, {kind}, {protocol})", "open" if answer.rc >= 0 else str(answer))
    w.say("bad handle", w.agent.listen(4000))
    w.say("negative handle", w.agent.close(-1))
    w.say("unknown op", w.agent.call(99, 3))
    w.say("op 0", w.agent.call(0))


def tcp_new(w):
    for family in (4, 6):
        h = w.open(family)
        w.do("getsockname", h)
        w.poll(h)
        for name, args in (("recv", (10,)), ("send", (b"x",)), ("shutdown", (2,)), ("shutdown", (7,)), ("accept", ()),
                           ("ioctl", (SIOCINQ,)), ("ioctl", (SIOCOUTQ,)), ("ioctl", (0x1234,)),
                           ("fcntl", (F_GETFL,)), ("fcntl", (F_SETFL, SOCK_NONBLOCK)), ("fcntl", (F_GETFL,)),
                           ("fcntl", (F_SETFL, 0)), ("fcntl", (77,))):
            w.do(name, h, *args)
        w.poll(h, " after shutdown")
        w.do("close", h)
        w.do("close", h)


def tcp_bind(w):
    h = w.open()
    w.do("bind", h, b"")
    w.do("bind", h, v4(AGENT4, 80)[:8])
    w.do("bind", h, v6("::", 80))
    w.do("bind", h, v4("192.0.2.1", 80))
    w.do("bind", h, UNSPEC)
    w.do("getsockname", h)
    w.do("bind", h, v4(AGENT4, 80))
    a, b = w.open(), w.open()
    w.do("bind", a, v4(AGENT4, 81))
    w.do("getsockname", a)
    w.do("bind", b, v4(AGENT4, 81))
    w.do("bind", b, v4("0.0.0.0", 81))
    w.do("setsockopt", b, SOL, socket.SO_REUSEADDR, 1)
    w.do("bind", b, v4(AGENT4, 81))
    w.do("setsockopt", a, SOL, socket.SO_REUSEADDR, 1)
    w.do("bind", b, v4(AGENT4, 81))
    w.do("listen", a)
    w.do("listen", b)
    w.do("bind", a, v4(AGENT4, 82))
    c = w.open(6)
    w.do("bind", c, v4(AGENT4, 81))
    w.do("bind", c, v6("fd91::2", 83))
    w.do("bind", c, v6("ff02::1", 83))
    w.do("bind", c, v6("fe80::1", 83))
    w.do("bind", c, v6("::", 81))
    w.do("setsockopt", c, 41, 26, 1)
    w.do("bind", c, v6("::", 81))
    w.do("setsockopt", c, 41, 26, 0)
    w.do("listen", c)
    e = w.open(6)
    w.do("bind", e, v6("::", 81))
    w.do("setsockopt", e, 41, 26, 1)
    w.do("bind", e, v6("::", 81))
    w.do("setsockopt", e, 41, 26, 0)
    w.do("listen", e)
    d = w.open(6)
    w.do("bind", d, v6("::ffff:" + AGENT4, 84))
    w.do("getsockname", d)


def tcp_listen(w):
    h = w.open(flags=SOCK_NONBLOCK)
    w.do("listen", h)
    w.do("getsockname", h)
    w.poll(h)
    w.do("accept", h)
    w.do("recv", h, 1)
    w.do("send", h, b"x")
    w.do("connect", h, v4(PEER4, 80))
    w.do("ioctl", h, SIOCINQ)
    w.do("getsockopt", h, SOL, 30)
    w.do("bind", h, v4(AGENT4, 85))
    w.do("listen", h, 1)
    w.do("shutdown", h, 1)
    w.poll(h)
    w.do("shutdown", h, 0)
    w.poll(h, " after shutdown")
    w.do("accept", h)
    w.do("getsockopt", h, SOL, 30)


def tcp_connect_nonblocking(w):
    for family in (4, 6):
        listener = w.peer_listener(family, 7000)
        h = w.open(family, flags=SOCK_NONBLOCK)
        to = w.peer_address(family, 7000)
        w.do("connect", h, to)
        w.wait_poll(h, POLLOUT)
        w.do("getsockopt", h, SOL, socket.SO_ERROR)
        w.do("connect", h, to)
        w.do("connect", h, to)
        w.do("getsockname", h)
        w.do("recv", h, 10)
        peer, _ = listener.accept()
        w.kept.append(peer)
        peer.sendall(b"hello")
        w.wait_poll(h, POLLIN)
        w.do("ioctl", h, SIOCINQ)
        w.do("recv", h, 2, MSG_PEEK)
        w.do("recv", h, 10)
        listener.close()


def tcp_connect_fails(w):
    for family in (4, 6):
        to = w.peer_address(family, 7001)
        h = w.open(family)
        w.do("connect", h, to)
        w.poll(h, " refused")
        w.do("connect", h, to)
        h = w.open(family, flags=SOCK_NONBLOCK)
        w.do("connect", h, to)
        w.wait_poll(h, POLLOUT, " refused")
        w.do("connect", h, to)
        w.do("connect", h, to)
        w.wait_poll(h, POLLOUT, " refused again")
        w.do("getsockopt", h, SOL, socket.SO_ERROR)
        w.do("getsockopt", h, SOL, socket.SO_ERROR)
        w.poll(h, " error taken")
        w.do("recv", h, 10)
        w.do("send", h, b"x")
        w.do("connect", h, to)
    h = w.open(flags=SOCK_NONBLOCK)
    w.do("connect", h, b"")
    w.do("connect", h, v4(PEER4, 1)[:6])
    w.do("connect", h, v6("fd91::1", 1))
    w.do("connect", h, v4("224.0.0.1", 1))
    w.do("connect", h, UNSPEC)
    w.do("connect", h, v4(NOBODY4, 1))
    w.do("connect", h, v4(NOBODY4, 1))
    w.poll(h, " connecting")
    w.do("recv", h, 1)
    w.do("send", h, b"x")
    w.do("ioctl", h, SIOCOUTQ)
    w.do("listen", h)
    w.do("shutdown", h, 1)
    w.do("getsockopt", h, SOL, socket.SO_ERROR)
    w.poll(h, " after shutdown")
    h = w.open(6, flags=SOCK_NONBLOCK)
    w.do("connect", h, v4(PEER4, 1))
    w.do("connect", h, v6("fe80::1", 1))
    w.do("setsockopt", h, 41, 26, 1)
    w.do("connect", h, v6("::ffff:" + PEER4, 1))
    h = w.open()
    w.do("setsockopt", h, SOL, socket.SO_SNDTIMEO, struct.pack("qq", 0, 50000))
    w.do("connect", h, v4(NOBODY4, 1))
    w.do("connect", h, v4(NOBODY4, 1))


def tcp_mapped(w):
    """An IPv6 socket talks to IPv4."""
    listener = w.peer_listener(4, 7002)
    h = w.open(6)
    w.do("connect", h, v6("::ffff:" + PEER4, 7002))
    w.do("getsockname", h)
    listener.close()
    h = w.open(6)
    w.do("bind", h, v6("::", 7003))
    w.do("listen", h)
    for family, ip in ((4, AGENT4), (6, "fd91::2")):
        peer = w.peer_socket(family)
        peer.connect((ip, 7003))
        w.say("accepted from", address_text(w.agent.accept(h).address))


def tcp_orderly(w):
    for family in (4, 6):
        for make in (w.connected, w.accepted):
            h, peer = make(family, 7004)
            w.poll(h, " open")
            w.do("send", h, b"request")
            w.peer_recv(peer, 7)
            w.eventually("SIOCOUTQ", lambda: w.agent.ioctl(h, SIOCOUTQ).data.hex(), "00000000")
            peer.sendall(b"answer")
            peer.shutdown(socket.SHUT_WR)
            w.wait_poll(h, POLLRDHUP, " after FIN")
            w.do("recv", h, 3)
            w.do("recv", h, 100)
            w.do("recv", h, 100)
            w.do("recv", h, 100)
            w.poll(h, " empty")
            w.do("send", h, b"more")
            w.peer_recv(peer, 4)
            w.do("shutdown", h, 1)
            w.do("send", h, b"x")
            w.peer_recv(peer, 1)
            w.eventually("poll", lambda: hex(w.agent.revents(h)), "0x2015")
            w.do("recv", h, 1)
            w.do("send", h, b"x")
            w.do("shutdown", h, 2)
            w.do("connect", h, w.peer_address(family, 7004))
            w.do("close", h)


def tcp_half_close(w):
    h, peer = w.connected(4, 7005)
    w.do("shutdown", h, 1)
    w.poll(h)
    w.peer_recv(peer, 1)
    peer.sendall(b"late")
    w.do("recv", h, 4, MSG_WAITALL)
    w.do("shutdown", h, 0)
    w.poll(h)
    w.do("recv", h, 4)
    peer.sendall(b"after SHUT_RD")
    w.peer_recv(peer, 1)
    w.eventually("poll", lambda: hex(w.agent.revents(h)), "0x201d")
    w.do("recv", h, 4)
    w.do("getsockopt", h, SOL, socket.SO_ERROR)
    h, peer = w.connected(4, 7005)
    w.do("shutdown", h, 0)
    w.poll(h)
    w.do("recv", h, 4)
    w.do("send", h, b"still")
    w.peer_recv(peer, 5)
    peer.sendall(b"x")
    w.wait_poll(h, POLLIN)
    w.do("recv", h, 4)


def tcp_reset_by_peer(w):
    for family in (4, 6):
        h, peer = w.connected(family, 7006)
        peer.setsockopt(SOL, socket.SO_LINGER, ONES["linger"])
        peer.close()
        w.eventually("poll", lambda: hex(w.agent.revents(h)), "0x201d")
        w.do("recv", h, 1)
        w.do("recv", h, 1)
        w.do("send", h, b"x")
        w.poll(h)
        h, peer = w.connected(family, 7006)
        peer.setsockopt(SOL, socket.SO_LINGER, ONES["linger"])
        peer.close()
        w.eventually("poll", lambda: hex(w.agent.revents(h)), "0x201d")
        w.do("send", h, b"x")
        w.do("send", h, b"x")
        w.do("recv", h, 1)
        # Behind data and a FIN.
        h, peer = w.connected(family, 7006)
        peer.sendall(b"data")
        peer.shutdown(socket.SHUT_WR)
        w.wait_poll(h, POLLRDHUP)
        w.do("send", h, b"x")
        peer.setsockopt(SOL, socket.SO_LINGER, ONES["linger"])
        peer.close()
        w.eventually("poll", lambda: hex(w.agent.revents(h)), "0x201d")
        w.do("recv", h, 10)
        w.do("recv", h, 10)
        w.do("send", h, b"x")
        w.do("getsockopt", h, SOL, socket.SO_ERROR)


def tcp_close(w):
    h, peer = w.connected(4, 7007)
    peer.sendall(b"unread")
    w.wait_poll(h, POLLIN)
    w.do("close", h)
    w.peer_recv(peer, 1)
    h, peer = w.connected(4, 7007)
    w.do("setsockopt", h, SOL, socket.SO_LINGER, ONES["linger"])
    w.do("getsockopt", h, SOL, socket.SO_LINGER, 8)
    w.do("send", h, b"dropped?")
    w.peer_recv(peer, 8)
    w.do("close", h)
    w.peer_recv(peer, 1)
    h, peer = w.connected(4, 7007)
    w.do("setsockopt", h, SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
    w.do("send", h, b"lingers")
    started = time.monotonic()
    w.do("close", h)
    w.say("lingered for long", time.monotonic() - started > 3)
    w.peer_recv(peer, 20)
    h, peer = w.connected(4, 7007)
    w.do("send", h, b"last")
    w.do("connect", h, UNSPEC)
    w.poll(h, " disconnected")
    w.do("getsockopt", h, SOL, socket.SO_ERROR)
    w.do("getsockname", h)
    h, _ = w.accepted(6, 7008)
    w.say("reset", w.agent.reset())
    w.do("recv", h, 1)


def tcp_accept(w):
    for family in (4, 6):
        listener = w.open(family, flags=SOCK_NONBLOCK)
        w.agent.setsockopt(listener, SOL, socket.SO_REUSEADDR, 1)
        w.do("bind", listener, w.agent_address(family, 7009))
        for level, name, value in ((SOL, socket.SO_KEEPALIVE, 1), (TCP, socket.TCP_NODELAY, 1), (TCP, 4, 33),
                                   (TCP, 8, 7), (SOL, socket.SO_RCVBUF, 20000), (TCP, 18, 5000), (TCP, 9, 0),
                                   (0, 1, 0x10), (0, 2, 33)):
            w.do("setsockopt", listener, level, name, value)
        w.do("listen", listener)
        w.do("accept", listener)
        peer = w.peer_socket(family)
        peer.connect((AGENT4 if family == 4 else "fd91::2", 7009))
        w.wait_poll(listener, POLLIN)
        answer = w.agent.accept(listener)
        w.say("accepted from", answer.address[:2])
        w.do("getsockname", answer.rc)
        w.do("fcntl", answer.rc, F_GETFL)
        for level, name in ((SOL, socket.SO_KEEPALIVE), (TCP, socket.TCP_NODELAY), (TCP, 4), (TCP, 8),
                            (SOL, socket.SO_RCVBUF), (TCP, 18), (0, 1), (0, 2), (SOL, socket.SO_REUSEADDR), (SOL, 30)):
            w.do("getsockopt", answer.rc, level, name)
        w.do("connect", answer.rc, w.peer_address(family, 1))
        w.do("listen", answer.rc)
        w.do("bind", answer.rc, w.agent_address(family, 1))
        w.do("accept", answer.rc)


def tcp_blocking(w):
    listener = w.open()
    w.agent.setsockopt(listener, SOL, socket.SO_REUSEADDR, 1)
    w.agent.bind(listener, v4(AGENT4, 7010))
    w.agent.listen(listener)
    wait = w.agent.start("accept", listener)
    peer = w.peer_socket(4)
    peer.connect((AGENT4, 7010))
    accepted = wait()
    w.say("accept", accepted.rc >= 0)
    h = accepted.rc
    wait = w.agent.start("recv", h, 10, MSG_WAITALL)
    polled = w.agent.start("poll", [(h, POLLIN), (-1, POLLIN), (4000, POLLIN)], 10000)
    answer = polled()
    w.say("poll of three", (answer.rc, [answer.data[at:at + 8][4:].hex() for at in (0, 8, 16)]))
    peer.sendall(b"01234")
    time.sleep(0.05)
    peer.sendall(b"56789abc")
    w.say("recv of ten", wait())
    w.do("recv", h, 10, MSG_DONTWAIT)
    w.do("recv", h, 10, MSG_DONTWAIT)
    w.do("setsockopt", h, SOL, socket.SO_RCVTIMEO, struct.pack("qq", 0, 100000))
    w.do("recv", h, 10)
    peer.sendall(b"part")
    time.sleep(0.05)
    w.do("recv", h, 10, MSG_WAITALL)
    w.say("poll times out", w.agent.poll([(h, POLLIN)], 50).rc)
    w.do("setsockopt", h, SOL, 18, 4)
    peer.sendall(b"abc")
    time.sleep(0.05)
    w.poll(h, " below SO_RCVLOWAT")
    peer.sendall(b"d")
    w.wait_poll(h, POLLIN, " at SO_RCVLOWAT")
    wait = w.agent.start("send", h, bytes(1 << 20))
    got = 0
    while got < 1 << 20:
        got += len(peer.recv(65536))
    w.say("send of a mebibyte", wait())
    wait = w.agent.start("recv", h, 100, MSG_WAITALL)
    time.sleep(0.05)
    peer.close()
    w.say("recv until the end", wait())


def tcp_full(w):
    """A peer that reads nothing."""
    h, peer = w.connected(4, 7011)
    w.agent.fcntl(h, F_SETFL, SOCK_NONBLOCK)
    for _ in range(200):
        answer = w.agent.send(h, bytes(100000))
        if answer.rc < 0:
            break
    w.say("full", answer)
    w.poll(h, " full")
    w.do("setsockopt", h, SOL, socket.SO_SNDTIMEO, struct.pack("qq", 0, 20000))
    w.agent.fcntl(h, F_SETFL, 0)
    w.do("send", h, b"x" * 100000, note=" of a timeout")
    while w.agent.revents(h) & POLLOUT == 0:
        peer.recv(1 << 20)
    w.poll(h, " room again")


def tcp_urgent(w):
    h, peer = w.connected(4, 7012)
    w.do("recv", h, 1, MSG_OOB)
    peer.send(b"ab")
    w.wait_poll(h, POLLIN)
    w.do("recv", h, 2)
    peer.send(b"!", socket.MSG_OOB)
    w.wait_poll(h, 2, " urgent")
    w.do("recv", h, 1, MSG_OOB | MSG_PEEK)
    w.do("recv", h, 1, MSG_OOB)
    w.do("recv", h, 1, MSG_OOB)
    w.poll(h, " taken")
    w.do("send", h, b"123", MSG_OOB)
    w.peer_recv(peer, 2)
    select.select([], [], [peer], 10)
    peer.setblocking(False)
    w.say("peer's urgent byte", peer.recv(1, socket.MSG_OOB))
    peer.settimeout(10)
    w.do("send", h, b"after")
    w.peer_recv(peer, 5)


def tcp_more(w):
    h, peer = w.connected(4, 7013)
    w.do("send", h, b"one ", MSG_MORE)
    w.do("send", h, b"two ", MSG_MORE)
    w.do("send", h, b"three")
    w.peer_recv(peer, 13)
    w.do("setsockopt", h, TCP, 3, 1)
    w.do("send", h, b"corked ")
    w.do("getsockopt", h, TCP, 3)
    w.do("setsockopt", h, TCP, 3, 0)
    w.peer_recv(peer, 7)


ALL = [value for name, value in sorted(globals().items()) if name.startswith("tcp_")]
