"""A TCP program in another language, for injector's end-to-end tests.

Reads one JSON request a line, `{"op": NAME, ...arguments}`, and answers each with one JSON line: the operation's result, or
`{"failure": WHY}`, where WHY is an errno name, "timeout" (nothing came in time) or "closed" (the other side ended).
Sockets are known by the numbers that this program gives them.
"""

import ctypes
import errno
import itertools
import json
import os
import resource
import socket
import struct
import sys

SO_COOKIE = 57
OPTIONS = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "TCP_KEEPINTVL": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    "TCP_KEEPCNT": (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    "TCP_USER_TIMEOUT": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
}
SIDES = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "both": socket.SHUT_RDWR}

sockets = {}
numbers = itertools.count()


class Closed(Exception):
    """The other side has ended the connection."""


def keep(sock):
    number = next(numbers)
    sockets[number] = sock
    return number


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def name_of(address):
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def described(number):
    """What identifies a socket to the kernel and to its peer."""
    sock = sockets[number]
    cookie = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    return {
        "id": number,
        "cookie": cookie,
        "inode": os.fstat(sock.fileno()).st_ino,
        "local": name_of(sock.getsockname()),
    }


def op_open(address):
    """A socket that is not connected yet."""
    return described(keep(socket.socket(family_of(address))))


def op_connect(id, address, port, timeout):
    sock = sockets[id]
    sock.settimeout(timeout)
    sock.connect((address, port))
    return described(id)


def op_listen(address, dual_stack, backlog):
    """Listens on a port of the kernel's choice."""
    sock = socket.socket(family_of(address))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual_stack))
    sock.bind((address, 0))
    sock.listen(backlog)
    return {**described(keep(sock)), "port": sock.getsockname()[1]}


def op_accept(id, timeout):
    sockets[id].settimeout(timeout)
    return described(keep(sockets[id].accept()[0]))


def op_send(id, text):
    sockets[id].sendall(text.encode())
    return {}


def op_recv(id, timeout):
    """Whatever comes first."""
    sockets[id].settimeout(timeout)
    data = sockets[id].recv(65536)
    if not data:
        raise Closed
    return {"text": data.decode()}


def op_set(id, option, value):
    sockets[id].setsockopt(*OPTIONS[option], value)
    return {}


def op_report(id):
    """The keepalive options, as the program itself sees them."""
    return {name: sockets[id].getsockopt(*which) for name, which in OPTIONS.items()}


def op_shutdown(id, side):
    sockets[id].shutdown(SIDES[side])
    return {}


def op_disconnect(id):
    """`connect(2)` to `AF_UNSPEC`, which Python's own refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(sockets[id].fileno(), bytes(16), 16):
        raise OSError(ctypes.get_errno(), "connect")
    return {}


def op_close(id):
    sockets.pop(id).close()
    return {}


def op_connect_many(address, port, count):
    for _ in range(count):
        sock = socket.socket(family_of(address))
        sock.connect((address, port))
        keep(sock)
    return {"count": count}


def op_accept_many(id, count, timeout):
    sockets[id].settimeout(timeout)
    for _ in range(count):
        keep(sockets[id].accept()[0])
    return {"count": count}


OPERATIONS = {name.removeprefix("op_"): op for name, op in globals().items() if name.startswith("op_")}


def answer(op, **arguments):
    try:
        return OPERATIONS[op](**arguments)
    except Closed:
        return {"failure": "closed"}
    except OSError as error:
        # Python's own timeout is an OSError without a number; the kernel's ETIMEDOUT has one.
        return {"failure": errno.errorcode[error.errno] if error.errno else "timeout"}


# As many sockets as this user may have.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for line in sys.stdin:
    print(json.dumps(answer(**json.loads(line))), flush=True)
