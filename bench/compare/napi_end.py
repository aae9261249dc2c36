"""An end of a veth pair that does its own receiving.

Receiving on a veth is done by the device's NAPI. Left alone it runs in the context of whoever sends, so that a server's
receiving would be done on the client's processor; as threads of their own (`threaded` of the device) the NAPIs can be
given to the processor of the end that they receive for, and their time is counted with it. They go before programs, as
the softirq of a network card does; else they would wait for a slice of time to end, and the device's ring overflow.
"""
import contextlib
import os
import pathlib
import time

from veth_link import End, run, threads_ns

QUEUE = 10_000  # frames: more than are ever under way
NAPI_PRIORITY = 50
NAPI_S = 1  # within this time of a program's start its device's NAPI threads are there


class NapiEnd(End):
    def set_up(self, off, mtu):
        # Without GRO a veth has a NAPI only while a program is attached.
        self.inside("ethtool", "-K", self.device, "gro", "on")
        super().set_up(off, mtu)
        # With a queue in front of it the device's ring, of 256 frames, holds its senders up when it is full; without, it drops.
        run("tc", "-n", self.namespace, "qdisc", "add", "dev", self.device, "root", "pfifo", "limit", str(QUEUE))
        self.inside("sh", "-c", f"echo 1 >/sys/class/net/{self.device}/threaded")

    def napi_threads(self):
        """Their process numbers; they are new each time that a program is attached to the device."""
        found = []
        for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
            with contextlib.suppress(OSError):
                if comm.read_text().startswith(f"napi/{self.device}"[:15]):
                    found.append(int(comm.parent.name))
        return found

    def napi_ns(self):
        total = 0
        for thread in self.napi_threads():
            with contextlib.suppress(OSError):  # it has ended
                total += threads_ns(thread)
        return total

    def pin_napi(self):
        for thread in self.napi_threads():
            with contextlib.suppress(OSError):  # it has ended
                os.sched_setaffinity(thread, {int(self.processor)})
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(NAPI_PRIORITY))

    def wait_and_pin_napi(self, before):
        """Once others are there than `before`."""
        end = time.monotonic() + NAPI_S
        while set(self.napi_threads()) <= set(before) and time.monotonic() < end:
            time.sleep(0.01)
        self.pin_napi()
