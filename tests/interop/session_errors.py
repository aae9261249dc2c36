"""The scripted session: what routers and silence do to sockets. Its lines must be the same over every stack.

The Linux host is the way to networks that it calls unreachable or prohibited, and to one whose packets it drops.
"""
import socket
import struct
import time

from agent_client import v4, v6
from session_world import MSG_DONTWAIT, POLLERR, POLLHUP, POLLIN, SOCK_NONBLOCK

SOL, TCP, UDP = socket.SOL_SOCKET, 6, socket.SOCK_DGRAM
UNREACHABLE, PROHIBITED, SILENT = 1, 2, 3


def far(family, network, port=9):
    return v4(f"10.99.{network}.1", port) if family == 4 else v6(f"fd99:{network}::1", port)


def recverr(w, h, family, on=1):
    w.do("setsockopt", h, 0 if family == 4 else 41, 11 if family == 4 else 25, on)


def pause():
    """The Linux host says so once a second to one that asks more often (net.ipv4.route.error_cost)."""
    time.sleep(1.1)


def unreachable_tcp(w):
    """Linux may be told while connect(2) still has the socket, and then goes on until it is told again."""
    for family in (4, 6):
        for network in (UNREACHABLE, PROHIBITED):
            h = w.open(family)
            pause()
            w.do("connect", h, far(family, network))
        h = w.open(family, flags=SOCK_NONBLOCK)
        pause()
        w.do("connect", h, far(family, UNREACHABLE))
        w.eventually("POLLHUP", lambda h=h: w.agent.revents(h) & POLLHUP, POLLHUP)
        w.do("connect", h, far(family, UNREACHABLE))
        w.do("recv", h, 1)


def unreachable_udp(w):
    for family in (4, 6):
        for network in (UNREACHABLE, PROHIBITED):
            pause()
            h = w.open(family, UDP)
            w.do("connect", h, far(family, network))
            w.do("send", h, b"x")
            w.say("poll", hex(w.agent.revents(h, POLLIN, timeout=100)))
            w.do("recv", h, 10, MSG_DONTWAIT)
            recverr(w, h, family)
            pause()
            w.do("send", h, b"x")
            w.say("poll", hex(w.agent.revents(h, POLLIN, timeout=5000) & (POLLIN | POLLERR)))
            w.do("recv", h, 10, MSG_DONTWAIT)
            w.do("recv", h, 10, MSG_DONTWAIT)


def silence(w):
    h = w.open()
    w.do("setsockopt", h, TCP, 7, 1)
    started = time.monotonic()
    w.do("connect", h, far(4, SILENT))
    w.say("seconds", round(time.monotonic() - started))
    h = w.open()
    w.do("setsockopt", h, TCP, 18, 1500)
    started = time.monotonic()
    w.do("connect", h, far(4, SILENT))
    w.say("less than two seconds", time.monotonic() - started < 2)
    h = w.open()
    w.do("setsockopt", h, SOL, socket.SO_SNDTIMEO, struct.pack("qq", 0, 200000))
    w.do("connect", h, far(4, SILENT))
    w.do("connect", h, far(4, SILENT))


ALL = [unreachable_tcp, unreachable_udp, silence]
