"""The scripted session: options, and what TCP_INFO and its kin say. Its lines must be the same over every stack."""
import socket
import struct

from agent_client import v4
from session_world import POLLIN, SOCK_NONBLOCK

SOL, TCP, IP, IP6, UDP = socket.SOL_SOCKET, 6, 0, 41, socket.SOCK_DGRAM
NUMBERS = (-2, -1, 0, 1, 2, 3, 64, 87, 88, 127, 128, 255, 256, 1000, 32767, 32768, 100000)

TCP_NAMES = {"NODELAY": 1, "MAXSEG": 2, "CORK": 3, "KEEPIDLE": 4, "KEEPINTVL": 5, "KEEPCNT": 6, "SYNCNT": 7,
             "LINGER2": 8, "DEFER_ACCEPT": 9, "WINDOW_CLAMP": 10,
             "USER_TIMEOUT": 18, "NOTSENT_LOWAT": 25, "INFO": 11, "unknown": 222}
SOL_NAMES = {"REUSEADDR": 2, "TYPE": 3, "ERROR": 4, "DONTROUTE": 5, "BROADCAST": 6, "SNDBUF": 7, "RCVBUF": 8,
             "KEEPALIVE": 9, "OOBINLINE": 10, "PRIORITY": 12, "REUSEPORT": 15, "RCVLOWAT": 18, "SNDLOWAT": 19,
             "ACCEPTCONN": 30, "PROTOCOL": 38, "DOMAIN": 39, "unknown": 222}
IP_NAMES = {"TOS": 1, "TTL": 2, "MTU_DISCOVER": 10, "RECVERR": 11, "MTU": 14, "MINTTL": 21, "MULTICAST_TTL": 33,
            "MULTICAST_LOOP": 34, "unknown": 222}
IP6_NAMES = {"UNICAST_HOPS": 16, "MULTICAST_HOPS": 18, "MULTICAST_LOOP": 19, "MTU_DISCOVER": 23, "MTU": 24,
             "RECVERR": 25, "V6ONLY": 26, "TCLASS": 67, "MINHOPCOUNT": 73, "unknown": 222}


def each(w, level, names, family=4, kind=socket.SOCK_STREAM):
    for text, name in names.items():
        h = w.open(family, kind)
        w.say(f"{text} at first", w.agent.getsockopt(h, level, name))
        for number in NUMBERS[2:] if text == "RCVLOWAT" else NUMBERS:  # the most is a sysctl's
            answer = w.agent.setsockopt(h, level, name, number)
            w.say(f"{text} = {number}", f"{answer}, then {w.agent.getsockopt(h, level, name)}")
        w.say(f"{text} of no bytes", w.agent.setsockopt(h, level, name, b""))
        w.say(f"{text} of one byte", w.agent.setsockopt(h, level, name, b"\1"))
        for length in (-1, 0, 1, 3, 100):
            w.say(f"{text} into {length}", w.agent.getsockopt(h, level, name, length))
        w.agent.close(h)


def options_tcp(w):
    each(w, TCP, TCP_NAMES)


def options_socket(w):
    each(w, SOL, SOL_NAMES)
    each(w, SOL, {"TYPE": 3, "PROTOCOL": 38, "DOMAIN": 39, "RCVBUF": 8, "SNDBUF": 7}, 6, UDP)


def options_ip(w):
    each(w, IP, IP_NAMES)
    each(w, IP, IP_NAMES, 4, UDP)
    each(w, IP, {"TOS": 1, "TTL": 2}, 6)
    each(w, IP6, {"UNICAST_HOPS": 16}, 4)


def options_ip6(w):
    each(w, IP6, IP6_NAMES, 6)
    each(w, IP6, IP6_NAMES, 6, UDP)


def options_structs(w):
    h = w.open()
    w.do("getsockopt", h, SOL, socket.SO_LINGER, 8)
    for value in (struct.pack("ii", 1, 7), struct.pack("ii", 5, 0), struct.pack("ii", 0, 9), b"\1\0\0\0"):
        w.do("setsockopt", h, SOL, socket.SO_LINGER, value)
        w.do("getsockopt", h, SOL, socket.SO_LINGER, 8)
    w.do("getsockopt", h, SOL, socket.SO_LINGER, 4)
    for name in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        w.do("getsockopt", h, SOL, name, 16)
        for seconds, micros in ((1, 500000), (0, 0), (2, 1000000), (1, -1), (-1, 0), (5, 0)):
            w.do("setsockopt", h, SOL, name, struct.pack("qq", seconds, micros))
        w.do("getsockopt", h, SOL, name, 16)
        w.do("setsockopt", h, SOL, name, 7)
    for name in (b"reno\0", b"cubic", b"nothing", b"", b"reno and much more than a name"):
        w.do("setsockopt", h, TCP, 13, name)
        w.do("getsockopt", h, TCP, 13, 16)
    w.do("getsockopt", h, TCP, 13, 100)
    w.do("getsockopt", h, TCP, 13, 3)
    w.do("getsockopt", h, TCP, 26, 100)
    w.say("SO_MEMINFO", len(w.agent.getsockopt(h, SOL, 55, 36).data))
    w.do("getsockopt", h, 999, 1)
    w.do("setsockopt", h, 999, 1, 1)
    w.do("getsockopt", h, 17, 1)
    udp = w.open(4, UDP)
    w.do("getsockopt", udp, TCP, 1)
    w.do("setsockopt", udp, TCP, 1, 1)


def info(w, h):
    """The fields of TCP_INFO that do not depend on how long things took, as far as Linux's and weir's buffers agree."""
    data = w.agent.getsockopt(h, TCP, 11, 232).data
    state, ca_state, retransmits, probes, backoff, options = data[:6]
    wide = struct.unpack_from("=24I", data, 8)
    rto, _, snd_mss, _, unacked, sacked, lost, retrans = wide[:8]
    pmtu, _, _, _, _, cwnd, advmss = wide[13:20]
    acked, received = struct.unpack_from("=QQ", data, 120)
    segs_out, segs_in, notsent = struct.unpack_from("=III", data, 136)
    sent, retransmitted = struct.unpack_from("=QQ", data, 200)
    return w.say("TCP_INFO", dict(state=state, ca=ca_state, retransmits=retransmits, probes=probes, backoff=backoff,
                                  options=options, rto_is_200ms=200000 <= rto < 300000, snd_mss=snd_mss,
                                  unacked=unacked, sacked=sacked, lost=lost, retrans=retrans, pmtu=pmtu, cwnd=cwnd,
                                  advmss=advmss, acked=acked,
                                  received=received, segs_out=segs_out, segs_in=segs_in, notsent=notsent, sent=sent,
                                  retransmitted=retransmitted))


def tcp_info(w):
    for family in (4, 6):
        h, peer = w.connected(family, 7020)
        w.say("length", [len(w.agent.getsockopt(h, TCP, 11, length).data) for length in (0, 1, 8, 104, 232)])
        info(w, h)
        w.do("send", h, bytes(3000))
        w.peer_recv(peer, 3000)
        w.eventually("unacked", lambda: struct.unpack_from("=I", w.agent.getsockopt(h, TCP, 11, 232).data, 24)[0], 0)
        sent = w.agent.getsockopt(h, TCP, 11, 232).data
        w.say("bytes acked", struct.unpack_from("=Q", sent, 120)[0])
        w.do("getsockopt", h, TCP, 2)
        w.do("getsockopt", h, IP if family == 4 else IP6, 14 if family == 4 else 24)
        peer.close()
        w.wait_poll(h, POLLIN)
        w.say("state", w.agent.getsockopt(h, TCP, 11, 1))
    h = w.open(flags=SOCK_NONBLOCK)
    w.say("state closed", w.agent.getsockopt(h, TCP, 11, 1))
    w.agent.connect(h, v4("10.91.0.77", 9))
    w.say("state connecting", w.agent.getsockopt(h, TCP, 11, 1))
    h = w.open()
    w.agent.listen(h, 7)
    data = w.agent.getsockopt(h, TCP, 11, 232).data
    w.say("listener", (data[0], struct.unpack_from("=II", data, 24)))
    h, peer = w.accepted(4, 7021, lambda listener: w.agent.setsockopt(listener, TCP, 2, 500))
    w.do("getsockopt", h, TCP, 2)
    w.do("shutdown", h, 1)
    w.eventually("state", lambda: w.agent.getsockopt(h, TCP, 11, 1).data, b"\5")


def maxseg(w):
    h = w.open()
    w.agent.setsockopt(h, TCP, 2, 700)
    listener = w.peer_listener(4, 7022)
    w.agent.connect(h, w.peer_address(4, 7022))
    peer, _ = listener.accept()
    w.say("peer's MSS", peer.getsockopt(TCP, 2))
    w.do("getsockopt", h, TCP, 2)
    peer.close()
    listener.close()


ALL = [options_tcp, options_socket, options_ip, options_ip6, options_structs, tcp_info, maxseg]
