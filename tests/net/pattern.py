"""Bytes that show any loss, repetition or change of order, and their digest."""
import hashlib
import os
import struct

BLOCK = 64 * 1024
MIB = 1024 * 1024
_filler = os.urandom(BLOCK)


def blocks(size):
    """`size` bytes in blocks; each begins with its number."""
    at = 0
    while at < size:
        n = min(BLOCK, size - at)
        yield (struct.pack(">Q", at) + _filler)[:n]
        at += n


def digest_of(size):
    """What a receiver of blocks(size) must arrive at: (bytes, SHA-256)."""
    total = hashlib.sha256()
    for block in blocks(size):
        total.update(block)
    return size, total.hexdigest()


def send(sock, size):
    for block in blocks(size):
        sock.sendall(block)


def receive(sock, limit=None):
    """Read to the end (or `limit` bytes): (bytes, SHA-256)."""
    total, count = hashlib.sha256(), 0
    while limit is None or count < limit:
        chunk = sock.recv(256 * 1024 if limit is None else min(256 * 1024, limit - count))
        if not chunk:
            break
        total.update(chunk)
        count += len(chunk)
    return count, total.hexdigest()
