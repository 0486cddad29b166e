"""Connections that open, idle and close, for injector's end-to-end tests.

Arguments: COUNT LIFETIME SECONDS. Keeps some COUNT connections to a child of its own open over loopback, each for a random time of
up to LIFETIME seconds, in which nothing is sent; each one that closes is replaced. Prints a line once all are open, and after
SECONDS more how many were opened in all.
"""

import heapq
import os
import random
import resource
import select
import socket
import sys
import time

count, lifetime, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
# Every hundredth of a second. Those that open together also probe together, and loopback drops what comes in large bursts.
AT_ONCE = 5


def serve(listener):
    """Accepts, and closes what the other side has closed."""
    poll, clients = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            else:
                clients.pop(number).close()


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
child = os.fork()
if child == 0:
    serve(listener)
address = listener.getsockname()
listener.close()

living, opened, end = [], 0, None
try:
    while end is None or time.monotonic() < end:
        now = time.monotonic()
        while living and living[0][0] <= now:
            heapq.heappop(living)[2].close()
        for _ in range(min(AT_ONCE, count - len(living))):
            opened += 1
            entry = (time.monotonic() + random.uniform(0, lifetime), opened, socket.create_connection(address))
            heapq.heappush(living, entry)
        if end is None and len(living) >= count - AT_ONCE:
            end = time.monotonic() + seconds
            print(len(living), flush=True)
        time.sleep(0.01)
    print(opened, flush=True)
finally:
    os.kill(child, 9)
