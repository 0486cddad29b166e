"""Prints how many instructions the verifier followed for each loaded BPF program: its id, its name and the number (5.16+)."""

import ctypes
import os
import struct

BPF = 321 if os.uname().machine == "x86_64" else 280
GET_NEXT_ID, GET_FD_BY_ID, GET_INFO_BY_FD = 11, 13, 15
INFO_SIZE, NAME, VERIFIED = 232, slice(64, 80), 216

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    return libc.syscall(BPF, command, attributes, len(attributes))


def attributes(layout, *values):
    return ctypes.create_string_buffer(struct.pack(layout, *values), 16)


program = 0
while True:
    request = attributes("III", program, 0, 0)
    if bpf(GET_NEXT_ID, request) < 0:
        break
    program = struct.unpack_from("I", request, 4)[0]
    fd = bpf(GET_FD_BY_ID, attributes("III", program, 0, 0))
    if fd < 0:
        continue
    info = ctypes.create_string_buffer(INFO_SIZE)
    bpf(GET_INFO_BY_FD, attributes("IIQ", fd, INFO_SIZE, ctypes.addressof(info)))
    os.close(fd)
    name = info.raw[NAME].split(b"\0")[0].decode()
    print(program, name, struct.unpack_from("I", info, VERIFIED)[0])
