"""Forges packets of connections over the loopback device of its network namespace, for injector's end-to-end tests.

Prints a line once it listens. Then it reads one JSON request a line and answers each with a line: `done`, or `refused` and
the errno where the kernel itself sends no such packet. A request names the ports `from` and `to`, between which something
has passed before, and may say

  flags     bits of the TCP header's flags [16, ACK]
  offset    of the sequence number from the one that is due [0]
  payload   bytes of it [0]
  words     length that the TCP header gives, in words [what it has]
  options   bytes of TCP options [0]
  ip        bytes of IPv4 options, or pairs of an IPv6 extension header's type and its words beyond two [none]
  cut       bytes cut off the end [0]
  length    added to the length that the IP header gives [0]
  fragments pairs of the bytes of the segment where each begins and ends, as they are sent; the last one's end is null
            [one packet, and for IPv6 no fragment header]
"""

import errno
import itertools
import json
import select
import socket
import struct
import sys

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
FRAGMENT_HEADER, FRAGMENT_MASK, MORE_V4, MORE_V6 = 44, 0x3FFF, 0x2000, 1
LOOPBACK_HEAD = bytes(12)
seen = {}
identifications = itertools.count(1)


def note(frame):
    """Remembers what is due after a packet, by its ports."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == ETH_P_IP and frame[23] == socket.IPPROTO_TCP:
        if struct.unpack_from("!H", frame, 20)[0] & FRAGMENT_MASK:
            return
        tcp, end = 14 + (frame[14] & 15) * 4, 14 + struct.unpack_from("!H", frame, 16)[0]
    elif kind == ETH_P_IPV6 and frame[20] == socket.IPPROTO_TCP:
        tcp, end = 54, 54 + struct.unpack_from("!H", frame, 18)[0]
    else:
        return
    source, target, sequence, acknowledged = struct.unpack_from("!HHII", frame, tcp)
    length = end - tcp - (frame[tcp + 12] >> 4) * 4 + (1 if frame[tcp + 13] & 3 else 0)
    due, _, _ = seen.get((source, target), (sequence, 0, 0))
    ahead = (sequence + length - due) & 0xFFFFFFFF
    due = due if ahead > 1 << 31 else (sequence + length) & 0xFFFFFFFF
    seen[source, target] = due, acknowledged, kind


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(pseudo, source, target, sequence, acknowledged, flags, payload, words, options):
    words = 5 + options // 4 if words is None else words
    head = struct.pack("!HHIIBBHHH", source, target, sequence, acknowledged, words << 4, flags, 512, 0, 0)
    data = head + bytes([1]) * options + b"x" * payload
    return data[:16] + struct.pack("!H", checksum(pseudo(len(data)) + data)) + data[18:]


def packets(request):
    source, target = request["from"], request["to"]
    due, acknowledged, kind = seen[source, target]
    # What the other side has sent so far is acknowledged.
    acknowledged = seen.get((target, source), (acknowledged, 0, 0))[0]
    sequence = (due + request.get("offset", 0)) & 0xFFFFFFFF
    fields = request.get("flags", 16), request.get("payload", 0), request.get("words"), request.get("options", 0)
    if kind == ETH_P_IP:
        version, address = version4, socket.inet_aton("127.0.0.1")
        pseudo = lambda length: address * 2 + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
    else:
        version, address = version6, socket.inet_pton(socket.AF_INET6, "::1")
        pseudo = lambda length: address * 2 + struct.pack("!IHBB", length, 0, 0, socket.IPPROTO_TCP)
    data = segment(pseudo, source, target, sequence, acknowledged, *fields)
    return kind, [version(request, address, *fragment) for fragment in fragments(request, data)]


def fragments(request, data):
    """What each packet holds of the segment. For fragments also their common number, where they begin, and whether there
    is more behind them."""
    if "fragments" not in request:
        return [(data,)]
    number = next(identifications)
    return [(data[start:end], number, start, end is not None) for start, end in request["fragments"]]


def version4(request, address, data, number=0, start=0, more=False):
    options = request.get("ip", 0)
    length = 20 + options + len(data) + request.get("length", 0)
    fragment = start // 8 + MORE_V4 * more
    head = struct.pack("!BBHHHBBH", 0x45 + options // 4, 0, length, number, fragment, 64, socket.IPPROTO_TCP, 0)
    head += address * 2 + bytes([1]) * options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data


def version6(request, address, data, number=None, start=0, more=False):
    chain, last = request.get("ip", []), socket.IPPROTO_TCP
    if number is not None:
        data = struct.pack("!BBHI", last, 0, start + MORE_V6 * more, number) + data
        last = FRAGMENT_HEADER
    kinds = [kind for kind, _ in chain] + [last]
    for (_, words), following in reversed(list(zip(chain, kinds[1:]))):
        # Filled up by one experimental option, to be skipped by who doesn't know it: padding has a limit.
        data = bytes([following, words, 0x1E, 4 + words * 8]) + bytes(4 + words * 8) + data
    head = struct.pack("!IHBB", 6 << 28, len(data) + request.get("length", 0), kinds[0], 64)
    return head + address * 2 + data


def forge(request):
    kind, forged = packets(request)
    for data in forged:
        data = data[: len(data) - request.get("cut", 0)]
        tap.sendto(LOOPBACK_HEAD + struct.pack("!H", kind) + data, ("lo", kind))


tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
tap.bind(("lo", 0))
print("listening", flush=True)
while True:
    ready, _, _ = select.select([tap, sys.stdin], [], [])
    if tap in ready:
        frame, address = tap.recvfrom(65536)
        # Each packet comes by twice.
        if address[2] == socket.PACKET_HOST:
            try:
                note(frame)
            except (struct.error, IndexError):
                # One of ours that is cut short.
                pass
        continue
    line = sys.stdin.readline()
    if not line:
        break
    try:
        forge(json.loads(line))
        print("done", flush=True)
    except OSError as error:
        print("refused", errno.errorcode[error.errno], flush=True)
