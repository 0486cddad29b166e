"""Watches a network device and reports when the last packet of a TCP connection passed.

Reads one line, `PORT PORT`, at a time; answers with the seconds since the last packet and since the last payload between
these two ports, as the kernel stamped them, or `never`.
"""

import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
IPV4, IPV6 = 0x0800, 0x86DD
last_packet, last_payload = {}, {}


def parse(frame):
    """The ports and the length of the payload of a TCP packet, or None for anything else."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == IPV4 and frame[23] == socket.IPPROTO_TCP:
        tcp = 14 + (frame[14] & 15) * 4
        end = 14 + struct.unpack_from("!H", frame, 16)[0]
    elif kind == IPV6 and frame[20] == socket.IPPROTO_TCP:
        tcp = 54
        end = 54 + struct.unpack_from("!H", frame, 18)[0]
    else:
        return None
    ports = struct.unpack_from("!HH", frame, tcp)
    return ports, end - tcp - (frame[tcp + 12] >> 4) * 4


def note(tap):
    frame, ancillary, _, _ = tap.recvmsg(2048, 64)
    stamp = next(data for _, kind, data in ancillary if kind == SO_TIMESTAMPNS)
    seconds, nanoseconds = struct.unpack("=qq", stamp)
    parsed = parse(frame)
    if parsed:
        ports, payload = parsed
        connection = tuple(sorted(ports))
        last_packet[connection] = seconds + nanoseconds / 1e9
        if payload > 0:
            last_payload[connection] = seconds + nanoseconds / 1e9


def age(stamps, connection):
    return time.time() - stamps[connection] if connection in stamps else "never"


tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
tap.bind((sys.argv[1], 0))
print("watching", flush=True)
while True:
    ready, _, _ = select.select([tap, sys.stdin], [], [])
    if tap in ready:
        note(tap)
    elif sys.stdin in ready:
        line = sys.stdin.readline()
        if not line:
            break
        connection = tuple(sorted(map(int, line.split())))
        print(age(last_packet, connection), age(last_payload, connection), flush=True)
