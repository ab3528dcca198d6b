"""What the attribute says, and what it cannot say."""

import base64
import json

import aiohttp
import pytest
from livekit.protocol import rtc

from signalling.livekit.data_saver import (
    ATTRIBUTE,
    Budget,
    downlink_limit_bps,
    is_everybodys_right,
)
from tests.signalling.livekit.conftest import Edge
from tests.support.livekit_client import SignalClient

SERVER_BPS = 20_000_000


@pytest.mark.parametrize(
    ("text", "limit_bps"),
    [("150", 150_000), ("1", 20_000), ("999999999", SERVER_BPS), ("", SERVER_BPS)],
)
def test_the_lower_bound_counts_but_a_voice_always_fits(text: str, limit_bps: int) -> None:
    assert downlink_limit_bps({ATTRIBUTE: text}, SERVER_BPS) == limit_bps


@pytest.mark.parametrize("text", ["-5", "1e3", "150 ", "٣", "²", "9" * 5_000, "NaN"])
def test_anything_else_is_no_bound(text: str) -> None:
    assert downlink_limit_bps({ATTRIBUTE: text}, None) is None


def test_without_the_attribute_the_server_decides() -> None:
    assert downlink_limit_bps({}, None) is None
    assert downlink_limit_bps({}, SERVER_BPS) == SERVER_BPS


def test_what_the_link_was_sent_is_taken_off_the_media() -> None:
    budget = Budget()
    budget.measure(0, 100.0)
    assert budget.media_bps(200_000) == 200_000
    budget.measure(5_000, 105.0)
    assert budget.media_bps(200_000) == 192_000
    assert budget.media_bps(None) is None
    budget.measure(5_000, 110.0)
    assert budget.media_bps(200_000) == 200_000


def test_a_burst_of_signalling_leaves_media_half_of_the_bound() -> None:
    budget = Budget()
    budget.measure(0, 100.0)
    budget.measure(1_000_000, 105.0)
    assert budget.media_bps(64_000) == 32_000


@pytest.mark.parametrize(
    ("attributes", "free"),
    [
        ({ATTRIBUTE: "150"}, True),
        ({ATTRIBUTE: ""}, True),
        ({ATTRIBUTE: "hello"}, False),
        ({ATTRIBUTE: "1" * 10}, False),
        ({ATTRIBUTE: "150", "role": "host"}, False),
        ({"role": ""}, False),
        ({}, False),
    ],
)
def test_only_the_bound_itself_takes_no_right(attributes: dict[str, str], free: bool) -> None:
    assert is_everybodys_right(attributes) is free


LISTENER = {"canPublish": False, "canPublishData": False, "canUpdateOwnMetadata": False}


async def test_a_listener_bounds_what_it_is_sent_and_changes_nothing_else(edge: Edge) -> None:
    """As the page's listeners, whose tokens allow them nothing but to listen."""
    async with SignalClient.connect(edge.url, edge.token("ada", **LISTENER)) as ada:
        await ada.expect("join")
        reasons = rtc.RequestResponse.Reason
        for number, (change, reason) in enumerate(
            [
                ({"attributes": {ATTRIBUTE: "150"}}, reasons.OK),
                ({"attributes": {ATTRIBUTE: "150", "a": "b"}}, reasons.NOT_ALLOWED),
                ({"attributes": {ATTRIBUTE: "buy cheap"}}, reasons.NOT_ALLOWED),
                ({"attributes": {ATTRIBUTE: "9"}, "name": "Eve"}, reasons.NOT_ALLOWED),
                ({"attributes": {ATTRIBUTE: "9"}, "metadata": "m"}, reasons.NOT_ALLOWED),
            ],
            start=1,
        ):
            request = rtc.UpdateParticipantMetadata(request_id=number, **change)
            await ada.send(update_metadata=request)
            answer = await ada.expect(
                "request_response", lambda one, number=number: one.request_id == number
            )
            assert answer.reason == reason
        member = edge.node.find_room("hall").member("ada")
        assert (member.name, member.metadata) == ("", "")
        assert member.attributes == {ATTRIBUTE: "150"}


async def test_a_bound_may_come_with_the_name_and_metadata_that_are_known(edge: Edge) -> None:
    """As livekit-client sends it, for somebody with a name."""
    token = edge.token("ada", name="Ada", metadata="m", **LISTENER)
    async with SignalClient.connect(edge.url, token) as ada:
        await ada.expect("join")
        request = rtc.UpdateParticipantMetadata(
            request_id=1, name="Ada", metadata="m", attributes={ATTRIBUTE: "150"}
        )
        await ada.send(update_metadata=request)
        answer = await ada.expect("request_response")
        assert answer.reason == rtc.RequestResponse.OK
        assert edge.node.find_room("hall").member("ada").attributes == {ATTRIBUTE: "150"}


async def test_a_listener_may_come_with_a_bound(edge: Edge) -> None:
    token = edge.token("ada", **LISTENER)

    async def status(attributes: dict[str, str]) -> int:
        text = base64.urlsafe_b64encode(json.dumps(attributes).encode()).decode()
        url = edge.url.replace("ws", "http") + "/rtc/validate"
        query = {"access_token": token, "attributes": text}
        async with aiohttp.ClientSession() as http, http.get(url, params=query) as response:
            return response.status

    assert await status({ATTRIBUTE: "150"}) == 200
    assert await status({ATTRIBUTE: "150", "role": "host"}) == 401
