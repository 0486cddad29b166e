"""Processes with a short life, for injector's end-to-end tests.

Arguments: COUNT SECONDS. Forks COUNT processes, each with a connection to itself, and prints `there` once all of them are.
Each line on stdin lets them end, one after the other, within SECONDS of it; nobody waits for them.
"""

import os
import socket
import sys
import time

count, seconds = int(sys.argv[1]), float(sys.argv[2])
there, is_there = os.pipe()
go, gone = os.pipe()


def live(number):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        os.write(is_there, b".")
        os.close(gone)
        # Ends with the other end of the pipe, for all of them at once.
        os.read(go, 1)
        time.sleep(seconds * number / count)
        os._exit(client.fileno() == server.fileno())


for number in range(count):
    if os.fork() == 0:
        live(number)
for _ in range(count):
    os.read(there, 1)
print("there", flush=True)
sys.stdin.readline()
os.close(gone)
sys.stdin.readline()
