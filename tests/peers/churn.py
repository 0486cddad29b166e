"""Connections that come and go, for injector's end-to-end tests.

Arguments: RATE COUNT STEP. Opens COUNT connections to itself over loopback, at most RATE of them a second, each only for as
long as it takes to read the keepalive options of both of its sockets; fewer where stdin ends before. Prints how many there
were after every STEP of them, and at the end what they had, as one JSON line.
"""

import collections
import json
import select
import socket
import sys
import time

rate, count, step = (int(argument) for argument in sys.argv[1:])
unprotected = 0
idle = collections.Counter()


def look_at(sock):
    """Whether keepalive is on; counts the idle time that it has."""
    idle[sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)] += 1
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


listener = socket.create_server(("127.0.0.1", 0), backlog=128)
address = listener.getsockname()
started = time.monotonic()
for opened in range(1, count + 1):
    with socket.create_connection(address) as client, listener.accept()[0] as server:
        unprotected += not (look_at(client) & look_at(server))
    if opened % step == 0:
        print(opened, flush=True)
    # The next one's turn; later than that where this machine can't keep up.
    if select.select([sys.stdin], [], [], max(0.0, started + opened / rate - time.monotonic()))[0]:
        break
report = {
    "connections": opened,
    "unprotected": unprotected,
    "idle": idle,
}
print(json.dumps(report), flush=True)
