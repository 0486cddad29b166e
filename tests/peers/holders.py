"""Holds connections in ways that /proc/PID/fd of the process does not show, or shows only in part.

usage: holders.py WAY [DIRECTORY]

Prints "up" once connected. Then, for each line on stdin, SO_KEEPALIVE and TCP_KEEPIDLE of each socket it still has.
"""

import ctypes
import os
import platform
import socket
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
EXIT = {"x86_64": 60, "aarch64": 93}[platform.machine()]
IO_URING_SETUP, IO_URING_REGISTER, REGISTER_FILES = 425, 427, 2
CLONE_FILES = 0x400
MPTCP = 262


def check(result, what):
    if result < 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def pair(protocol=0):
    """Both ends of a connection."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    near = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    near.connect(listener.getsockname())
    far, _ = listener.accept()
    near.send(b"x")
    far.recv(1)
    return [near, far]


def serve(sockets):
    print("up", flush=True)
    for _ in sys.stdin:
        options = []
        for one in sockets:
            options.append(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            options.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))
        print(*options, flush=True)


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def main_thread_ended():
    in_thread(lambda: serve(pair()))
    # Only this thread: the process lives on.
    libc.syscall(EXIT, 0)


def table_of_its_own():
    def work():
        check(libc.unshare(CLONE_FILES), "unshare")
        serve(pair())

    in_thread(work).join()


def io_uring():
    parameters = ctypes.create_string_buffer(120)
    ring = check(libc.syscall(IO_URING_SETUP, 4, parameters), "io_uring_setup")
    near, far = pair()
    check(libc.syscall(IO_URING_REGISTER, ring, REGISTER_FILES, (ctypes.c_int * 1)(near.fileno()), 1), "io_uring_register")
    near.close()
    serve([far])


def threaded(directory):
    """A thread is in the threaded cgroup, with a pair of its own; the process is in the cgroup above."""
    with open(f"{directory}/cgroup.type", "w") as file:
        file.write("threaded")
    others = pair()
    its = []

    def work():
        with open(f"{directory}/cgroup.threads", "w") as file:
            file.write(str(threading.get_native_id()))
        its.extend(pair())
        serve(its + others)

    in_thread(work).join()


def enter(directory):
    """In a cgroup whose name is no UTF-8, below `directory`."""
    below = os.fsencode(directory) + b"/caf\xe9.service"
    os.mkdir(below)
    with open(below + b"/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    serve(pair())


WAYS = {
    "main-thread-ended": main_thread_ended,
    "table-of-its-own": table_of_its_own,
    "io-uring": io_uring,
    "threaded": threaded,
    "enter": enter,
    "mptcp": lambda: serve(pair(MPTCP)),
    "plain": lambda: serve(pair()),
}

WAYS[sys.argv[1]](*sys.argv[2:])
