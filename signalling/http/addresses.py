"""Who a request comes from, and under which address its client knows this server.

A reverse proxy speaks for its clients in `X-Forwarded-*` headers. Whether it is believed depends on
its own address alone, because anybody can send such headers; who is not believed counts as itself.
"""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from aiohttp import hdrs, web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)
UNKNOWN = "unknown"
_SECURE = frozenset({"https", "wss"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Proxies:
    """The reverse proxies that are believed."""

    def __init__(self, networks: Sequence[Network] = LOOPBACK) -> None:
        self._networks = tuple(networks)

    def trusts(self, peer: str | None) -> bool:
        """Whether a connection from this address may speak for others."""
        address = _address(peer or "")
        return address is not None and self._within(address)

    def client(self, request: web.BaseRequest) -> str:
        """The client to count by; see `counted`."""
        address = _address(request.remote or "")
        if address is None:
            return UNKNOWN
        hops = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        # Each proxy has added whom it was asked by. What stands before a stranger, he has written.
        while self._within(address) and hops and (hop := _address(hops.pop())) is not None:
            address = hop
        return counted(str(address))

    def signalling_url(self, request: web.BaseRequest) -> str:
        """Where the page finds `/rtc`: this host, by the scheme that the browser itself uses.

        Behind a proxy that ends TLS the browser says it in `Origin`, the proxy in its headers.
        """
        scheme, host = request.scheme, request.host
        if self.trusts(request.remote):
            scheme = _first(request, "X-Forwarded-Proto").partition(":")[0].lower() or scheme
            host = _first(request, "X-Forwarded-Host") or host
        origin_scheme, _, origin = request.headers.get(hdrs.ORIGIN, "").partition("://")
        port = _DEFAULT_PORTS.get(origin_scheme, "")
        if origin and origin.lower() == host.lower().removesuffix(port):
            scheme, host = origin_scheme, origin
        return f"{'wss' if scheme in _SECURE else 'ws'}://{host}"

    def _within(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def counted(address: str) -> str:
    """What to count by: of an IPv6 address, the network that one customer has."""
    found = _address(address)
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)


def parse_network(text: str) -> Network:
    """An address or a network such as "10.0.0.0/8". Raises ValueError."""
    return ipaddress.ip_network(text.strip(), strict=False)


def _first(request: web.BaseRequest, name: str) -> str:
    """The first of a list: what the client asked for, each proxy on the way adds its own."""
    return request.headers.get(name, "").partition(",")[0].strip()


def _address(text: str) -> Address | None:
    """The address in "192.0.2.1", "192.0.2.1:4711", "2001:db8::1" or "[2001:db8::1]:4711"."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
