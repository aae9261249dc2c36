"""A client of socket agents (shared/interop/socket_agent.md): one connection, one POSIX-like call at a time.

    agent = Agent("/tmp/agent")
    handle = agent.socket(socket.AF_INET, socket.SOCK_STREAM).rc
    print(agent.connect(handle, v4("10.91.0.1", 80)))       # -1 ECONNREFUSED
"""
import collections
import errno
import socket
import struct
import threading

HEADER = struct.Struct("=iiiiiII")
REPLY = struct.Struct("=qiII")
MAX_MESSAGE = (1 << 20) + 4096
OPS = {name: number for number, name in enumerate(
    "socket bind listen accept connect recv send close shutdown getsockopt setsockopt fcntl ioctl poll reset "
    "getsockname".split(), 1)}


class Result(collections.namedtuple("Result", "rc err address data")):
    """What a call gave; `err` is an errno, 0 when `rc` >= 0."""

    def __str__(self):
        text = str(self.rc)
        if self.err:
            text += " " + errno.errorcode.get(self.err, str(self.err))
        if self.address:
            text += " from " + address_text(self.address)
        if self.data:
            text += " " + (self.data.hex() if len(self.data) <= 64 else f"{len(self.data)} bytes")
        return text


def v4(ip, port):
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(ip))


def v6(ip, port, scope=0):
    return (struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", port, 0, socket.inet_pton(socket.AF_INET6, ip)) +
            struct.pack("=I", scope))


def address_text(data):
    """Ephemeral ports are no part of what is compared."""
    family, port = struct.unpack("=H", data[:2])[0], struct.unpack("!H", data[2:4])[0]
    shown = "ephemeral" if 32768 <= port < 61000 else port
    if family == socket.AF_INET:
        return f"{socket.inet_ntoa(data[4:8])}:{shown}"
    if family == socket.AF_INET6:
        return f"[{socket.inet_ntop(socket.AF_INET6, data[8:24])}]:{shown}"
    return data.hex()


def port_of(data):
    return struct.unpack("!H", data[2:4])[0]


class Agent:
    def __init__(self, path, timeout=60):
        self.path = path
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(timeout)
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUFFORCE if hasattr(socket, "SO_SNDBUFFORCE") else 32,
                                4 << 20)
        self.control.connect(path)

    def close_control(self):
        self.control.close()

    def request(self, op, h=0, a1=0, a2=0, a3=0, address=b"", data=b""):
        number = OPS[op] if isinstance(op, str) else op
        self.control.send(HEADER.pack(number, h, a1, a2, a3, len(address), len(data)) + address + data)

    def reply(self):
        message = self.control.recv(MAX_MESSAGE)
        rc, err, alen, dlen = REPLY.unpack(message[:REPLY.size])
        rest = message[REPLY.size:]
        assert len(rest) == alen + dlen, (len(rest), alen, dlen)
        return Result(rc, err, rest[:alen], rest[alen:])

    def call(self, *args, **kwargs):
        self.request(*args, **kwargs)
        return self.reply()

    def start(self, method, *args):
        """The call on a connection of its own, which may block; returns a function that waits for its Result."""
        other = Agent(self.path)
        got = []
        thread = threading.Thread(target=lambda: got.append(getattr(other, method)(*args)))
        thread.start()

        def wait():
            thread.join()
            other.close_control()
            return got[0]

        return wait

    def socket(self, domain, kind, protocol=0):
        return self.call("socket", a1=domain, a2=kind, a3=protocol)

    def bind(self, h, address):
        return self.call("bind", h, address=address)

    def listen(self, h, backlog=5):
        return self.call("listen", h, backlog)

    def accept(self, h):
        return self.call("accept", h)

    def connect(self, h, address):
        return self.call("connect", h, address=address)

    def recv(self, h, length, flags=0):
        return self.call("recv", h, length, flags)

    def send(self, h, data, flags=0, address=b""):
        return self.call("send", h, flags, data=data, address=address)

    def close(self, h):
        return self.call("close", h)

    def shutdown(self, h, how):
        return self.call("shutdown", h, how)

    def getsockopt(self, h, level, name, length=4):
        return self.call("getsockopt", h, level, name, length)

    def setsockopt(self, h, level, name, value):
        data = struct.pack("=i", value) if isinstance(value, int) else value
        return self.call("setsockopt", h, level, name, data=data)

    def fcntl(self, h, command, argument=0):
        return self.call("fcntl", h, command, argument)

    def ioctl(self, h, request):
        return self.call("ioctl", h, request)

    def poll(self, entries, timeout=0):
        """`entries`: (handle, events)."""
        data = b"".join(struct.pack("=ihh", h, events, 0) for h, events in entries)
        return self.call("poll", 0, len(entries), timeout, data=data)

    def revents(self, h, events=0x201f, timeout=0):
        """What poll says of one handle."""
        result = self.poll([(h, events)], timeout)
        return struct.unpack("=ihh", result.data[:8])[2] if len(result.data) >= 8 else result

    def reset(self):
        return self.call("reset")

    def getsockname(self, h):
        return self.call("getsockname", h)
