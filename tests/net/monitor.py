"""A machine monitor reduced to its wire: copies frames between a TAP and weir's stream link.

usage: monitor.py TAP-DESCRIPTOR SOCKET

The framing is QEMU's: a 32-bit big-endian length before each frame. Ends when either side does.
"""
import os
import select
import socket
import struct
import sys

TAP = int(sys.argv[1])
BATCH = 64


def frames_from_tap():
    batch = []
    try:
        while len(batch) < BATCH:
            frame = os.read(TAP, 65550)
            batch.append(struct.pack(">I", len(frame)) + frame)
    except BlockingIOError:
        pass
    return b"".join(batch)


def frames_to_tap(data):
    """Write the whole frames of `data`; returns what is left."""
    at = 0
    while len(data) - at >= 4:
        end = at + 4 + struct.unpack_from(">I", data, at)[0]
        if end > len(data):
            break
        os.write(TAP, data[at + 4:end])
        at = end
    return data[at:]


def main():
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[2])
    os.set_blocking(TAP, False)
    print("connected", flush=True)
    rest = b""
    while True:
        readable, _, _ = select.select([TAP, link], [], [])
        if TAP in readable:
            link.sendall(frames_from_tap())
        if link in readable:
            data = link.recv(1 << 20)
            if not data:
                return
            rest = frames_to_tap(rest + data)


main()
