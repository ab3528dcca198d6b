"""Query parameters: lenient where versions differ, strict where content is carried."""

import base64
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from signalling.livekit.query import QueryError, parse


def encoded(value: object, *, padding: bool = True) -> str:
    text = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    return text if padding else text.rstrip("=")


def test_absent_means_subscribe_automatically_in_full_quality() -> None:
    query = parse({})
    assert query.auto_subscribe
    assert not query.adaptive_stream
    assert not query.reconnect


@pytest.mark.parametrize(
    ("text", "wanted"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_switches(text: str, wanted: bool) -> None:
    assert parse({"auto_subscribe": text}).auto_subscribe is wanted
    assert parse({"adaptive_stream": text}).adaptive_stream is wanted


def test_what_other_clients_need_to_know_is_kept() -> None:
    client = parse(
        {
            "protocol": "16",
            "client_protocol": "2",
            "capabilities": "CAP_PACKET_TRAILER,CAP_FROM_THE_FUTURE",
            "sdk": "js",
        }
    ).client
    assert (client.protocol, client.client_protocol, client.sdk) == (16, 2, "js")
    assert len(client.capabilities) == 1


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.4.1 Safari/605.1.15"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.parametrize(
    ("user_agent", "query", "is_webkit", "short_tags"),
    [
        (CHROME.format(156) + " Safari/537.36", {}, False, True),
        (CHROME.format(156) + " Safari/537.36 Edg/156.0.0.0", {}, False, True),
        (CHROME.format(119) + " Safari/537.36", {}, False, False),
        (CHROME.format(156), {"sdk": "reactnative"}, False, False),
        (CHROME.format(156), {"browser": "Safari", "browser_version": "17.4"}, True, False),
        (f"{IPHONE} CriOS/156.0.1 Mobile/15E148 Safari/604.1", {}, True, False),
        (f"{IPHONE} Version/17.0 Mobile/15E148 Safari/604.1", {}, True, False),
        (SAFARI, {}, True, False),
        (FIREFOX, {}, False, False),
        (CHROME.format(156), {"browser": "Chrome", "browser_version": "new"}, False, False),
        ("livekit/2.0", {"sdk": "swift", "os": "iOS"}, False, False),
        ("", {}, False, False),
    ],
)
def test_a_browser_is_known_by_its_user_agent(
    user_agent: str, query: dict[str, str], is_webkit: bool, short_tags: bool
) -> None:
    client = parse({"sdk": "js", **query}, user_agent).client
    assert (client.is_webkit, client.chooses_short_tags) == (is_webkit, short_tags)


@pytest.mark.parametrize("padding", [True, False])
def test_attributes_with_and_without_padding(padding: bool) -> None:
    text = encoded({"role": "hôte"}, padding=padding)
    assert parse({"attributes": text}).attributes == (("role", "hôte"),)


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "bm90IGpzb24",
        encoded([]),
        encoded({"a": 1}),
        encoded({"a": "x" * 70_000}),
        "A" * 200_000,
    ],
)
def test_unusable_attributes_are_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse({"attributes": text})


NAMES = st.sampled_from(["protocol", "client_protocol", "sid", "attributes", "capabilities", "sdk"])


@given(st.dictionaries(NAMES, st.text(max_size=50)))
def test_any_text_is_read_or_refused(parameters: dict[str, str]) -> None:
    try:
        query = parse(parameters)
    except QueryError:
        assert "attributes" in parameters
    else:
        assert 0 <= query.client.protocol < 10**6
