"""Where a scripted session runs: an agent in one namespace, a Linux host in another, and the lines of the answers."""
import contextlib
import errno
import socket
import struct
import time

from agent_client import Agent, v4, v6

AGENT4, AGENT6, PEER4, PEER6 = "10.91.0.2", "fd91::2", "10.91.0.1", "fd91::1"
NOBODY4 = "10.91.0.77"  # on the link, but nobody has it
ONES = {"linger": struct.pack("ii", 1, 0)}
POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP = 1, 2, 4, 8, 0x10, 0x20, 0x2000
MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL, MSG_MORE = 1, 2, 0x20, 0x40, 0x100, 0x8000
SOCK_NONBLOCK, SOCK_CLOEXEC = 0o4000, 0o2000000
SIOCINQ, SIOCOUTQ = 0x541B, 0x5411
F_GETFL, F_SETFL = 3, 4


class World:
    def __init__(self, path, enter):
        """`enter()`: a context in which sockets are made in the Linux host's namespace."""
        self.agent = Agent(path)
        self.path = path
        self.enter = enter
        self.lines = []
        self.kept = []

    def say(self, what, answer):
        self.lines.append(f"{what}: {answer}")
        return answer

    def do(self, name, *args, note=""):
        """Calls the agent and writes down what it answered."""
        shown = ", ".join(a.hex() if isinstance(a, bytes) else str(a) for a in args[1:])
        return self.say(f"{name}({shown}){note}", getattr(self.agent, name)(*args))

    def poll(self, h, note=""):
        return self.say("poll" + note, hex(self.agent.revents(h)))

    def wait_poll(self, h, events, note=""):
        """Waits for one of `events`; the line is of all that is ready then."""
        self.agent.poll([(h, events)], 10000)
        return self.poll(h, note)

    def eventually(self, what, answer, wanted):
        """What comes by itself a moment later, as acknowledgments do."""
        deadline = time.monotonic() + 10
        while answer() != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.say(what, answer())

    def open(self, family=4, kind=socket.SOCK_STREAM, protocol=0, flags=0):
        domain = socket.AF_INET if family == 4 else socket.AF_INET6
        return self.agent.socket(domain, kind | flags, protocol).rc

    def peer_address(self, family, port):
        return v4(PEER4, port) if family == 4 else v6(PEER6, port)

    def agent_address(self, family, port):
        return v4(AGENT4, port) if family == 4 else v6(AGENT6, port)

    def peer_socket(self, family, kind=socket.SOCK_STREAM, protocol=0):
        with self.enter():
            made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind, protocol)
        made.settimeout(10)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.kept.append(made)
        return made

    def peer_listener(self, family, port):
        listener = self.peer_socket(family)
        listener.bind((PEER4 if family == 4 else PEER6, port))
        listener.listen(8)
        return listener

    def connected(self, family, port):
        """A connection that the agent opened: its handle and the peer's socket."""
        listener = self.peer_listener(family, port)
        h = self.open(family)
        assert self.agent.connect(h, self.peer_address(family, port)).rc == 0
        peer, _ = listener.accept()
        peer.settimeout(10)
        self.kept.append(peer)
        listener.close()
        return h, peer

    def accepted(self, family, port, before=lambda h: None):
        """A connection that the peer opened."""
        listener = self.open(family)
        self.agent.setsockopt(listener, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert self.agent.bind(listener, self.agent_address(family, port)).rc == 0
        before(listener)
        assert self.agent.listen(listener, 5).rc == 0
        peer = self.peer_socket(family)
        peer.connect((AGENT4 if family == 4 else AGENT6, port))
        h = self.agent.accept(listener).rc
        self.agent.close(listener)
        return h, peer

    def peer_recv(self, peer, size):
        """What the peer gets, or the error."""
        try:
            got = b""
            while len(got) < size:
                piece = peer.recv(size - len(got))
                if not piece:
                    return self.say("peer gets", f"{got!r}, end")
                got += piece
            return self.say("peer gets", got if len(got) < 100 else f"{len(got)} bytes")
        except OSError as error:
            return self.say("peer gets", errno.errorcode.get(error.errno, str(error)))

    def end(self):
        self.agent.reset()
        for made in self.kept:
            with contextlib.suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ONES["linger"])
            made.close()
        self.kept.clear()
        self.agent.close_control()
