"""Whose allowance a request uses up."""

import pytest
from aiohttp.test_utils import make_mocked_request

from signalling.http.addresses import Proxies, parse_network


class Transport:
    """A connection from some address, as aiohttp asks for it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 50_000) if name == "peername" else default


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("::1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("2001:db8:1:2:3::1", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "", "2001:db8:1:2::/64"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1", "[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"),
        ("127.0.0.1", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("127.0.0.1", '"[2001:db8:1:2::9]"', "2001:db8:1:2::/64"),
        ("127.0.0.1", "fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", "198.51.100.1, 127.0.0.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.7, 198.51.100.1, ::1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1,", "127.0.0.1"),
        ("192.0.2.1", "198.51.100.1:4711", "192.0.2.1"),
    ],
)
def test_the_client_is_counted_not_its_proxy_nor_its_claims(
    peer: str, forwarded: str, counted: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/", headers, transport=Transport(peer))
    assert Proxies().client(request) == counted


@pytest.mark.parametrize(
    ("proxies", "counted"),
    [
        ((), "127.0.0.1"),
        (("10.0.0.0/8",), "127.0.0.1"),
        (("127.0.0.0/8",), "10.1.1.1"),
        (("127.0.0.0/8", "10.0.0.0/8"), "198.51.100.1"),
    ],
)
def test_only_proxies_that_are_trusted_speak_for_others(
    proxies: tuple[str, ...], counted: str
) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1, 10.1.1.1"}
    request = make_mocked_request("GET", "/", headers, transport=Transport("127.0.0.1"))
    assert Proxies(tuple(map(parse_network, proxies))).client(request) == counted


@pytest.mark.parametrize(
    ("peer", "headers", "url"),
    [
        ("127.0.0.1", {}, "ws://a.example"),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, "wss://a.example"),
        ("127.0.0.1", {"X-Forwarded-Proto": "HTTPS, http"}, "wss://a.example"),
        ("127.0.0.1", {"X-Forwarded-Proto": "https:443"}, "wss://a.example"),
        ("127.0.0.1", {"X-Forwarded-Proto": "wss"}, "wss://a.example"),
        ("127.0.0.1", {"X-Forwarded-Proto": ", https"}, "ws://a.example"),
        ("192.0.2.1", {"X-Forwarded-Proto": "https"}, "ws://a.example"),
        (
            "127.0.0.1",
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "b.example:8443, c"},
            "wss://b.example:8443",
        ),
        ("192.0.2.1", {"X-Forwarded-Host": "b.example"}, "ws://a.example"),
        ("192.0.2.1", {"Origin": "https://a.example"}, "wss://a.example"),
        ("192.0.2.1", {"Origin": "https://A.example", "Host": "a.example:443"}, "wss://A.example"),
        ("192.0.2.1", {"Origin": "http://a.example", "Host": "a.example:80"}, "ws://a.example"),
        ("192.0.2.1", {"Origin": "https://b.example"}, "ws://a.example"),
        ("192.0.2.1", {"Origin": "null"}, "ws://a.example"),
        (
            "192.0.2.1",
            {"Origin": "https://a.example:8443", "Host": "a.example:8443"},
            "wss://a.example:8443",
        ),
    ],
)
def test_a_page_of_https_is_told_an_address_of_wss(
    peer: str, headers: dict[str, str], url: str
) -> None:
    headers = {"Host": "a.example", **headers}
    request = make_mocked_request("GET", "/", headers, transport=Transport(peer))
    assert Proxies().signalling_url(request) == url
