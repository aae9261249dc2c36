"""Clients that send nonsense to the agent, or vanish in the middle of a call: it goes on serving, and sockets stay."""
import os
import random
import socket
import struct
import time

from agent_session_test import AgentTest, harness
from agent_client import Agent, HEADER, v4
from session_world import AGENT4, PEER4, SOCK_NONBLOCK

ROUNDS = int(os.environ.get("WEIR_NONSENSE", "3000"))
SOCKETS = ((2, 1, 0), (10, 1, 0), (2, 2, 0), (10, 2, 0), (2, 2, 1), (10, 2, 58))
NUMBERS = (-2**31, -1, 0, 1, 2, 3, 4, 5, 6, 7, 41, 99, 255, 4095, 4096, 65535, 2**20, 2**31 - 1)


class NonsenseTest(AgentTest):
    def setUp(self):
        super().setUp()
        self.server_process, self.path, self.peer = self.start(kernel=False)

    def check_alive(self):
        self.assertIsNone(self.server_process.process.poll(), self.server_process.output())
        agent = Agent(self.path)
        h = agent.socket(socket.AF_INET, socket.SOCK_STREAM).rc
        self.assertGreaterEqual(h, 0)
        self.assertEqual(0, agent.close(h).rc)
        agent.close_control()

    def raw(self):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(20)
        control.connect(self.path)
        return control

    def test_no_requests(self):
        for message in (b"x", bytes(27), os.urandom(27), HEADER.pack(1, 0, 2, 1, 0, 1, 0),
                        HEADER.pack(7, 3, 0, 0, 0, 0, 9),
                        HEADER.pack(1, 0, 2, 1, 0, 2**32 - 1, 2**32 - 1), HEADER.pack(1, 0, 2, 1, 0, 2**31, 2**31),
                        HEADER.pack(14, 0, 2**30, 0, 0, 0, 0)[:20], bytes(100000)):
            control = self.raw()
            control.send(message)
            try:
                control.recv(1 << 21)
            except OSError:
                pass
            control.close()
        self.check_alive()
        self.server_process.stop()

    def test_random_requests(self):
        """Every operation with random numbers, addresses and data, on few handles; some block: their client goes."""
        seed = random.randrange(1 << 32)
        print("seed", seed)
        dice = random.Random(seed)
        agent = Agent(self.path)
        for domain, kind, protocol in SOCKETS * 2:
            agent.socket(domain, kind | dice.choice((0, SOCK_NONBLOCK)), protocol)
        control = self.raw()
        control.settimeout(0.02)
        answered = vanished = succeeded = 0
        for _ in range(ROUNDS):
            op = dice.choice((*range(1, 17), 17, 0, -1))
            if (op == 15 and dice.random() < 0.95) or (op == 8 and dice.random() < 0.6):
                continue
            address = dice.choice((b"", v4(PEER4, dice.randrange(65536)), v4(AGENT4, dice.randrange(65536)),
                                   dice.randbytes(dice.randrange(40)),
                                   struct.pack("=H", dice.choice((0, 2, 10))) + dice.randbytes(26)))
            data = dice.choice((b"", struct.pack("=i", dice.choice(NUMBERS)), dice.randbytes(dice.randrange(300)),
                                struct.pack("=ihh", dice.randrange(-1, 20), dice.randrange(-2**15, 2**15), 0)))
            a1, a2, a3 = (dice.choice(NUMBERS) for _ in range(3))
            if op == 1 and dice.random() < 0.8:
                a1, a2, a3 = dice.choice(SOCKETS)
                a2 |= dice.choice((0, SOCK_NONBLOCK))
            if op in (2, 3, 5, 7) and dice.random() < 0.5:
                address = dice.choice((v4(PEER4, 9), v4(AGENT4, dice.randrange(9000, 9003)), v4("0.0.0.0", 0)))
                a1 = 0
            if op in (10, 11):
                a1, a2 = dice.choice((0, 1, 6, 17, 41, 99)), dice.randrange(-1, 80)
            try:
                header = HEADER.pack(op, dice.randrange(-1, 20), a1, a2, a3, len(address), len(data))
                control.send(header + address + data)
                succeeded += control.recv(1 << 21)[8:12] == bytes(4)
                answered += 1
            except OSError:  # it blocks: the client vanishes
                vanished += 1
                control.close()
                control = self.raw()
                control.settimeout(0.02)
        print(f"{answered} answered, {succeeded} without an error, {vanished} clients vanished")
        self.assertGreater(answered, ROUNDS / 4)
        control.close()
        agent.close_control()
        self.check_alive()
        self.server_process.stop()

    def test_vanishing(self):
        """The call of a client that went takes nothing; the socket is still there for others."""
        agent = Agent(self.path)
        h = agent.socket(socket.AF_INET, socket.SOCK_STREAM).rc
        agent.bind(h, v4(AGENT4, 8000))
        agent.listen(h)
        poll = HEADER.pack(14, 0, 1, -1, 0, 0, 8) + struct.pack("=ihh", h, 1, 0)
        for request in (HEADER.pack(4, h, 0, 0, 0, 0, 0), poll):
            control = self.raw()
            control.send(request)
            time.sleep(0.05)
            control.close()
        time.sleep(0.2)
        with harness.inside(self.peer):
            peer = socket.create_connection((AGENT4, 8000), 10)
        accepted = agent.accept(h)
        self.assertGreaterEqual(accepted.rc, 0)
        control = self.raw()
        control.send(HEADER.pack(6, accepted.rc, 100, 0, 0, 0, 0))
        time.sleep(0.05)
        control.close()
        time.sleep(0.2)
        peer.sendall(b"for the next")
        self.assertEqual(b"for the next", agent.recv(accepted.rc, 100).data)
        # The handle is closed while a call waits on it: the last one closes the connection.
        control = self.raw()
        control.send(HEADER.pack(6, accepted.rc, 100, 0, 0, 0, 0))
        time.sleep(0.05)
        agent.close(accepted.rc)
        peer.sendall(b"to the one that waits")
        self.assertIn(b"to the one that waits", control.recv(1000))
        self.assertEqual(b"", peer.recv(10))
        peer.close()
        agent.close_control()
        self.check_alive()
        self.server_process.stop()

    def test_handles_run_out(self):
        agent = Agent(self.path)
        opened = 0
        while (answer := agent.socket(socket.AF_INET, socket.SOCK_DGRAM)).rc >= 0:
            opened += 1
        self.assertEqual(24, answer.err)  # EMFILE
        self.assertGreater(opened, 4000)
        agent.reset()
        self.assertGreaterEqual(agent.socket(socket.AF_INET, socket.SOCK_STREAM).rc, 0)
        agent.close_control()
        self.server_process.stop()


if __name__ == "__main__":
    harness.main()
