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
