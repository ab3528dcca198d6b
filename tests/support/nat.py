"""A NAT in user space: clients reach the server through it, and it can forget all its mappings."""

import asyncio
import contextlib
import socket


class Nat:
    """Relays datagrams from `address` to `target`, for each client from a port of its own."""

    def __init__(self, address: tuple[str, int], target: tuple[str, int]) -> None:
        self._host = address[0]
        self._target = target
        self._family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._loop = asyncio.get_running_loop()
        self._outside: dict[tuple[str, int], socket.socket] = {}
        self._inside = socket.socket(self._family, socket.SOCK_DGRAM)
        self._inside.bind(address)
        self._inside.setblocking(False)
        self._loop.add_reader(self._inside, self._from_client)

    @property
    def port(self) -> int:
        port: int = self._inside.getsockname()[1]
        return port

    def forget(self) -> None:
        """The next datagram of each client leaves from a new port; the old ones are closed."""
        for outside in self._outside.values():
            self._loop.remove_reader(outside)
            outside.close()
        self._outside.clear()

    def close(self) -> None:
        self.forget()
        self._loop.remove_reader(self._inside)
        self._inside.close()

    def _from_client(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                datagram, client = self._inside.recvfrom(2048)
                self._mapping(client).send(datagram)

    def _mapping(self, client: tuple[str, int]) -> socket.socket:
        if client not in self._outside:
            outside = socket.socket(self._family, socket.SOCK_DGRAM)
            outside.bind((self._host, 0))
            outside.connect(self._target)
            outside.setblocking(False)
            self._loop.add_reader(outside, self._from_server, outside, client)
            self._outside[client] = outside
        return self._outside[client]

    def _from_server(self, outside: socket.socket, client: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._inside.sendto(outside.recv(2048), client)
