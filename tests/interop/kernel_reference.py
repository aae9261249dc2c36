"""A socket agent over the kernel's sockets, to compare with: what shared/interop/kernel_agent.c does, in Python.

    kernel_reference.py PATH
"""
import ctypes
import os
import socket
import struct
import sys
import threading

from agent_client import HEADER, MAX_MESSAGE, OPS, REPLY

LIBC = ctypes.CDLL(None, use_errno=True)
NAMES = {number: name for name, number in OPS.items()}
MOST = 1 << 20
ENOSYS, EINVAL, EBADF = 38, 22, 9
MSG_NOSIGNAL = 0x4000
handles = set()
lock = threading.Lock()


def call(name, *args):
    """rc, errno."""
    ctypes.set_errno(0)
    rc = getattr(LIBC, name)(*args)
    return rc, ctypes.get_errno() if rc < 0 else 0


def with_address(function):
    room, length = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    rc, err = function(room, length)
    return rc, err, room.raw[:length.value] if rc >= 0 and length.value <= 128 else b"", b""


def receive(h, length, flags):
    into = ctypes.create_string_buffer(min(length & 0xFFFFFFFF, MOST - 128) or 1)
    size = min(length & 0xFFFFFFFF, MOST - 128)
    rc, err, address, _ = with_address(
        lambda room, alen: call("recvfrom", h, into, ctypes.c_size_t(size), flags, room, ctypes.byref(alen)))
    return rc, err, address, into.raw[:min(rc, size)] if rc > 0 else b""


def poll(count, timeout, data):
    if count < 0 or len(data) < 8 * count:
        return -1, EINVAL, b"", b""
    fds = ctypes.create_string_buffer(data, max(len(data), 1))
    rc, err = call("poll", fds, ctypes.c_ulong(count), timeout)
    return rc, err, b"", fds.raw[:len(data)]


def reset():
    with lock:
        all_of_them = list(handles)
        handles.clear()
    for h in all_of_them:
        linger = struct.pack("ii", 1, 0)
        call("setsockopt", h, socket.SOL_SOCKET, socket.SO_LINGER, linger, len(linger))
        call("shutdown", h, 2)
        call("close", h)
    return 0, 0, b"", b""


def keep(outcome):
    if outcome[0] >= 0:
        with lock:
            handles.add(outcome[0])
    return outcome


def serve_one(op, h, a1, a2, a3, address, data):
    if op == "socket":
        return keep((*call("socket", a1, a2, a3), b"", b""))
    if op == "poll":
        return poll(a1, a2, data)
    if op == "reset":
        return reset()
    if op is None:
        return -1, ENOSYS, b"", b""
    with lock:
        if h not in handles:
            return -1, EBADF, b"", b""
    if op == "accept":
        return keep(with_address(lambda room, alen: call("accept", h, room, ctypes.byref(alen))))
    if op == "recv":
        return receive(h, a1, a2)
    if op == "getsockname":
        return with_address(lambda room, alen: call("getsockname", h, room, ctypes.byref(alen)))
    if op == "getsockopt":
        room, length = ctypes.create_string_buffer(4096), ctypes.c_int(a3)
        rc, err = call("getsockopt", h, a1, a2, room, ctypes.byref(length))
        return rc, err, b"", room.raw[:length.value] if rc >= 0 else b""
    if op == "ioctl":
        value = ctypes.c_int(0)
        rc, err = call("ioctl", h, ctypes.c_ulong(a1 & 0xFFFFFFFF), ctypes.byref(value))
        return rc, err, b"", struct.pack("=i", value.value)
    return (*simple(op, h, a1, a2, address, data), b"", b"")


def simple(op, h, a1, a2, address, data):
    if op == "bind":
        return call("bind", h, address, len(address))
    if op == "listen":
        return call("listen", h, a1)
    if op == "connect":
        return call("connect", h, address, len(address))
    if op == "send":
        return call("sendto", h, data, ctypes.c_size_t(len(data)), a1 | MSG_NOSIGNAL, address or None, len(address))
    if op == "close":
        with lock:
            handles.discard(h)
        return call("close", h)
    if op == "shutdown":
        return call("shutdown", h, a1)
    if op == "setsockopt":
        return call("setsockopt", h, a1, a2, data, len(data))
    return call("fcntl", h, a1, ctypes.c_long(a2))


def serve(control):
    while True:
        message = control.recv(MAX_MESSAGE)
        if len(message) < HEADER.size:
            break
        op, h, a1, a2, a3, alen, dlen = HEADER.unpack(message[:HEADER.size])
        rest = message[HEADER.size:]
        if len(rest) < alen + dlen:
            break
        rc, err, address, data = serve_one(NAMES.get(op), h, a1, a2, a3, rest[:alen], rest[alen:alen + dlen])
        try:
            control.send(REPLY.pack(-1 if rc < 0 else rc, err, len(address), len(data)) + address + data)
        except OSError:
            break
    control.close()


def main():
    LIBC.recvfrom.restype = LIBC.sendto.restype = ctypes.c_ssize_t
    path = sys.argv[1]
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    print("weir: ready (the kernel's sockets)", flush=True)
    while True:
        control, _ = listener.accept()
        control.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)  # SO_SNDBUFFORCE
        threading.Thread(target=serve, args=(control,), daemon=True).start()


if __name__ == "__main__":
    main()
