"""Whose allowance a request uses up."""

import pytest
from aiohttp.test_utils import make_mocked_request

from signalling.http.limits import client_address


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
        ("127.0.0.1", "nonsense", "unknown"),
    ],
)
def test_the_client_is_counted_not_its_proxy_nor_its_claims(
    peer: str, forwarded: str, counted: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/", headers, transport=Transport(peer))
    assert client_address(request) == counted
