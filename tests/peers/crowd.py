"""Many idle clients of one Redis server, for injector's end-to-end tests.

Arguments: ADDRESS PORT COUNT. Opens COUNT connections and prints how many there are. For each line `SECONDS` on stdin it
sends PING on all of them at once and prints, as one JSON line, how many were answered within that time, how many stayed
unanswered, and how many were broken.
"""

import json
import resource
import select
import socket
import sys
import time

PING, PONG = b"PING\r\n", b"+PONG\r\n"
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def ping(within):
    """Asks all, then takes the answers as they come. A connection that breaks is out for good."""
    answers = {"answered": 0, "unanswered": 0, "broken": 0}
    poll = select.poll()
    waiting = {}
    for sock in sockets:
        try:
            sock.sendall(PING)
            poll.register(sock, select.POLLIN)
            waiting[sock.fileno()] = sock
        except OSError:
            answers["broken"] += 1
    deadline = time.monotonic() + within
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            poll.unregister(number)
            answers["answered" if is_answered(waiting.pop(number)) else "broken"] += 1
    answers["unanswered"] = len(waiting)
    return answers


def is_answered(sock):
    try:
        return sock.recv(len(PONG), socket.MSG_WAITALL) == PONG
    except OSError:
        return False


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
sockets = [socket.create_connection((address, port)) for _ in range(count)]
print(len(sockets), flush=True)
for line in sys.stdin:
    print(json.dumps(ping(float(line))), flush=True)
