"""The scripted session: UDP, sockets for echo requests, memberships. Its lines must be the same over every stack."""
import socket
import struct

from agent_client import port_of, v4, v6
from session_world import (AGENT4, AGENT6, MSG_DONTWAIT, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, PEER4, PEER6, POLLERR,
                           POLLIN, SIOCINQ, SIOCOUTQ)

SOL, UDP = socket.SOL_SOCKET, socket.SOCK_DGRAM
UNSPEC = struct.pack("=H14x", 0)


def udp_new(w):
    for family in (4, 6):
        h = w.open(family, UDP)
        w.do("getsockname", h)
        w.poll(h)
        for name, args in (("recv", (10, MSG_DONTWAIT)), ("send", (b"x",)), ("listen", (1,)), ("accept", ()),
                           ("ioctl", (SIOCINQ,)), ("ioctl", (SIOCOUTQ,)), ("send", (b"x", 0, b"\0")),
                           ("send", (b"x", MSG_OOB, w.peer_address(family, 1))), ("connect", (b"",)),
                           ("send", (b"x", 0, w.peer_address(family, 0))),
                           ("send", (bytes(70000), 0, w.peer_address(family, 1))),
                           ("shutdown", (0,)), ("recv", (10,)), ("shutdown", (5,))):
            w.do(name, h, *args)
        w.poll(h, " after shutdown")


def udp_bind(w):
    h = w.open(4, UDP)
    w.do("bind", h, v4(AGENT4, 5000)[:8])
    w.do("bind", h, v6("::", 5000))
    w.do("bind", h, v4("192.0.2.1", 5000))
    w.do("bind", h, v4(AGENT4, 5000))
    w.do("bind", h, v4(AGENT4, 5001))
    w.do("getsockname", h)
    other = w.open(4, UDP)
    w.do("bind", other, v4("0.0.0.0", 5000))
    six = w.open(6, UDP)
    w.do("bind", six, v6("::", 5000))
    w.do("setsockopt", six, 41, 26, 1)
    w.do("bind", six, v6("::", 5000))
    w.do("setsockopt", six, 41, 26, 0)
    for h in (w.open(4, UDP), w.open(4, UDP)):
        w.do("setsockopt", h, SOL, socket.SO_REUSEPORT, 1)
        w.do("bind", h, v4(AGENT4, 5002))
    w.do("bind", w.open(4, UDP), v4(AGENT4, 5002))
    h = w.open(4, UDP)
    w.do("bind", h, UNSPEC)
    w.do("getsockname", h)


def udp_echo(w):
    for family in (4, 6):
        peer = w.peer_socket(family, UDP)
        peer.bind((PEER4 if family == 4 else PEER6, 6000))
        h = w.open(family, UDP)
        w.do("send", h, b"hello", 0, w.peer_address(family, 6000))
        data, source = peer.recvfrom(100)
        w.say("peer gets", (data, source[0]))
        w.do("getsockname", h)
        peer.sendto(b"longer answer", source)
        w.wait_poll(h, POLLIN)
        w.do("ioctl", h, SIOCINQ)
        w.do("recv", h, 4, MSG_PEEK)
        w.do("recv", h, 4, MSG_PEEK | MSG_TRUNC)
        w.do("recv", h, 4)
        w.do("recv", h, 4, MSG_DONTWAIT)
        peer.sendto(b"", source)
        w.wait_poll(h, POLLIN, " empty datagram")
        w.do("recv", h, 4)
        for size in (1472, 1473, 9000, 60000):
            w.do("send", h, bytes(size), 0, w.peer_address(family, 6000)) if size < 2000 else \
                w.say(f"send {size}", w.agent.send(h, bytes(size), 0, w.peer_address(family, 6000)))
            w.say("peer gets", len(peer.recv(65535)))
            peer.sendto(bytes(size), source)
            w.wait_poll(h, POLLIN)
            w.say("recv", w.agent.recv(h, 65535))
        wait = w.agent.start("recv", h, 100)
        peer.sendto(b"awaited", source)
        w.say("blocking recv", wait())
        w.do("setsockopt", h, SOL, socket.SO_RCVTIMEO, struct.pack("qq", 0, 50000))
        w.do("recv", h, 4)
        w.do("send", h, b"in ", MSG_MORE, w.peer_address(family, 6000))
        w.do("send", h, b"two parts", 0, w.peer_address(family, 6000))
        w.peer_recv(peer, 12)


def udp_connected(w):
    for family in (4, 6):
        peer = w.peer_socket(family, UDP)
        peer.bind((PEER4 if family == 4 else PEER6, 6001))
        other = w.peer_socket(family, UDP)
        other.bind((PEER4 if family == 4 else PEER6, 6002))
        h = w.open(family, UDP)
        w.do("connect", h, w.peer_address(family, 6001))
        w.do("getsockname", h)
        w.do("send", h, b"one")
        source = peer.recvfrom(100)[1]
        other.sendto(b"not for it", source)
        peer.sendto(b"for it", source)
        w.wait_poll(h, POLLIN)
        w.do("recv", h, 100)
        w.do("recv", h, 100, MSG_DONTWAIT)
        w.do("send", h, b"two", 0, w.peer_address(family, 6002))
        w.peer_recv(other, 3)
        w.do("connect", h, w.peer_address(family, 6002))
        w.do("send", h, b"three")
        w.peer_recv(other, 5)
        w.do("shutdown", h, 1)
        w.do("send", h, b"x")
        w.poll(h, " shut for writing")
        w.do("connect", h, UNSPEC)
        w.do("getsockname", h)
        w.do("send", h, b"x")


def udp_refused(w):
    for family in (4, 6):
        h = w.open(family, UDP)
        w.do("connect", h, w.peer_address(family, 6009))
        for answer in ("recv", "send", "SO_ERROR"):
            w.do("send", h, b"x")
            w.wait_poll(h, POLLERR, " refused")
            if answer == "recv":
                w.do("recv", h, 10, MSG_DONTWAIT)
                w.do("recv", h, 10, MSG_DONTWAIT)
            elif answer == "send":
                w.do("send", h, b"x")
                w.do("recv", h, 10, MSG_DONTWAIT)
            else:
                w.do("getsockopt", h, SOL, socket.SO_ERROR)
                w.do("getsockopt", h, SOL, socket.SO_ERROR)
            w.poll(h, " told")
        h = w.open(family, UDP)
        w.do("send", h, b"x", 0, w.peer_address(family, 6009))
        w.do("recv", h, 10, MSG_DONTWAIT)
        w.say("poll", hex(w.agent.revents(h, timeout=100) & POLLERR))
        w.do("setsockopt", h, 0 if family == 4 else 41, 11 if family == 4 else 25, 1)
        w.do("send", h, b"x", 0, w.peer_address(family, 6009))
        w.say("poll", hex(w.agent.poll([(h, POLLIN)], 5000).data[6]))
        w.do("recv", h, 10, MSG_DONTWAIT)


def udp_options(w):
    h = w.open(4, UDP)
    for level, name in ((SOL, socket.SO_BROADCAST), (0, 1), (0, 2), (0, 10), (0, 33), (0, 34), (0, 11), (17, 1), (6, 1),
                        (0, 14), (SOL, socket.SO_TYPE), (SOL, 38), (SOL, 39), (SOL, 30), (41, 16), (17, 99)):
        w.do("getsockopt", h, level, name)
    w.do("send", h, b"x", 0, v4("255.255.255.255", 9))
    w.do("send", h, b"x", 0, v4("10.91.0.255", 9))
    w.do("connect", h, v4("10.91.0.255", 9))
    w.do("setsockopt", h, SOL, socket.SO_BROADCAST, 1)
    w.do("send", h, b"x", 0, v4("10.91.0.255", 9))
    w.do("setsockopt", h, 0, 10, 2)
    w.do("send", h, bytes(1473), 0, v4(PEER4, 9))
    w.do("connect", h, v4(PEER4, 9))
    w.do("getsockopt", h, 0, 14)
    w.do("send", h, b"x", 0, v6(PEER6, 9))
    w.do("send", h, b"x", 0, v4("192.0.2.1", 9))


def udp_ttl_tos(w):
    peer = w.peer_socket(4, UDP)
    peer.bind((PEER4, 6003))
    peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    peer.setsockopt(socket.IPPROTO_IP, 12, 1)
    h = w.open(4, UDP)
    w.do("setsockopt", h, 0, 1, 0x2e)
    w.do("setsockopt", h, 0, 2, 7)
    w.do("send", h, b"x", 0, v4(PEER4, 6003))
    _, messages, _, _ = peer.recvmsg(10, 200)
    w.say("TTL and TOS", sorted((kind, data[0]) for _, kind, data in messages))


def udp_dual(w):
    h = w.open(6, UDP)
    w.do("bind", h, v6("::", 6004))
    for family, ip in ((4, AGENT4), (6, AGENT6)):
        peer = w.peer_socket(family, UDP)
        peer.bind((PEER4 if family == 4 else PEER6, 6005))
        peer.sendto(b"dual", (ip, 6004))
        w.wait_poll(h, POLLIN)
        answer = w.do("recv", h, 10)
        w.do("send", h, b"back", 0, answer.address)
        w.peer_recv(peer, 4)


def echo_request(family, payload, sequence=1, kind=None):
    return struct.pack("!BBHHH", kind if kind is not None else 8 if family == 4 else 128, 0, 0, 77, sequence) + payload


def ping(w):
    for family in (4, 6):
        protocol = 1 if family == 4 else 58
        h = w.open(family, UDP, protocol)
        w.poll(h)
        to = w.peer_address(family, 0)
        w.do("getsockname", h)
        w.do("send", h, echo_request(family, b"data"))
        w.do("send", h, b"short", 0, to)
        w.do("send", h, echo_request(family, b"", kind=0), 0, to)
        w.do("send", h, echo_request(family, b"12345678"), 0, to)
        w.wait_poll(h, POLLIN)
        answer = w.agent.recv(h, 1000)
        w.say("reply", (answer.rc, answer.data[:2], answer.data[6:], answer.address[4:24]))
        name = w.agent.getsockname(h).address
        w.say("identifier is the port", port_of(name) == struct.unpack("!H", answer.data[4:6])[0])
        w.say("send 5000", w.agent.send(h, echo_request(family, bytes(5000)), 0, to))
        w.wait_poll(h, POLLIN)
        w.say("reply", w.agent.recv(h, 10000).rc)
        w.do("connect", h, to)
        w.do("send", h, echo_request(family, b"connected", 9))
        w.wait_poll(h, POLLIN)
        w.say("reply", w.agent.recv(h, 100).rc)
        w.do("recv", h, 10, MSG_DONTWAIT)
        bound = w.open(family, UDP, protocol)
        w.do("bind", bound, w.agent_address(family, 4321))
        w.do("getsockname", bound)
        w.do("send", bound, echo_request(family, b"bound"), 0, to)
        w.wait_poll(bound, POLLIN)
        answer = w.agent.recv(bound, 1000)
        w.say("reply", (answer.rc, answer.data[4:]))
        w.do("bind", w.open(family, UDP, protocol), w.agent_address(family, 4321))
        w.do("listen", bound)


def multicast(w):
    group4, group6 = socket.inet_aton("239.91.0.1"), socket.inet_pton(socket.AF_INET6, "ff15::91")
    any4, mine = socket.inet_aton("0.0.0.0"), socket.inet_aton(AGENT4)
    h = w.open(4, UDP)
    w.do("setsockopt", h, 0, 35, group4 + mine)
    w.do("setsockopt", h, 0, 35, group4 + mine)
    w.do("setsockopt", h, 0, 35, group4)
    w.do("setsockopt", h, 0, 35, mine + mine)
    w.do("setsockopt", h, 0, 35, group4 + socket.inet_aton("192.0.2.9"))
    w.do("bind", h, v4("0.0.0.0", 6006))
    peer = w.peer_socket(4, UDP)
    peer.bind((PEER4, 6007))
    peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(PEER4))
    peer.sendto(b"to the group", ("239.91.0.1", 6006))
    w.wait_poll(h, POLLIN)
    w.do("recv", h, 100)
    source = socket.inet_aton(PEER4)
    w.do("setsockopt", h, 0, 38, group4 + mine + source)
    w.do("setsockopt", h, 0, 38, group4 + mine + source)
    w.do("setsockopt", h, 0, 37, group4 + mine + source)
    w.do("setsockopt", h, 0, 37, group4 + mine + source)
    w.do("setsockopt", h, 0, 36, group4 + mine)
    w.do("setsockopt", h, 0, 36, group4 + mine)
    w.do("setsockopt", h, 0, 39, group4 + mine + source)
    peer.sendto(b"by source", ("239.91.0.1", 6006))
    w.wait_poll(h, POLLIN)
    w.do("recv", h, 100)
    w.do("setsockopt", h, 0, 40, group4 + mine + source)
    w.do("setsockopt", h, 0, 33, 300)
    w.do("setsockopt", h, 0, 33, 0)
    w.do("getsockopt", h, 0, 33)
    w.do("setsockopt", h, 0, 34, 0)
    w.do("getsockopt", h, 0, 34, 1)
    w.do("setsockopt", h, 0, 32, mine)
    w.do("setsockopt", h, 0, 32, socket.inet_aton("192.0.2.9"))
    w.do("getsockopt", h, 0, 32)
    w.do("setsockopt", h, 0, 32, any4)
    w.do("setsockopt", w.open(), 0, 35, group4 + mine)
    six = w.open(6, UDP)
    w.do("setsockopt", six, 41, 20, group6 + struct.pack("=I", 0))
    w.do("setsockopt", six, 41, 20, group6 + struct.pack("=I", 0))
    w.do("setsockopt", six, 41, 20, group6)
    w.do("setsockopt", six, 41, 20, socket.inet_pton(socket.AF_INET6, PEER6) + struct.pack("=I", 0))
    w.do("setsockopt", six, 41, 20, group6 + struct.pack("=I", 9999))
    w.do("setsockopt", six, 41, 21, group6 + struct.pack("=I", 0))
    w.do("setsockopt", six, 41, 21, group6 + struct.pack("=I", 0))
    w.do("setsockopt", w.open(6), 41, 20, group6 + struct.pack("=I", 0))


ALL = [value for name, value in sorted(globals().items())
       if name.startswith("udp_") or name in ("ping", "multicast")]
