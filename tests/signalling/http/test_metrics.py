"""What Prometheus reads."""

import re
from pathlib import Path

import aiohttp
import pytest
from livekit.protocol import rtc
from prometheus_client.parser import text_string_to_metric_families

from tests.signalling.http.conftest import Client


async def samples(client: Client) -> dict[tuple[str, str], float]:
    """Values by (name, the label that is not the thread)."""
    status, text = await client.get("/metrics")
    assert status == 200
    return {
        (
            sample.name,
            next((v for k, v in sample.labels.items() if k != "thread"), ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_engines_counters_are_exposed(client: Client) -> None:
    values = await samples(client)
    for name in ("packets_received_total", "packets_sent_total", "media_packets_forwarded_total"):
        assert values[f"kinguicall_{name}", ""] == 0
    assert values["kinguicall_media_accept_failures_total", ""] == 0
    assert values["kinguicall_media_thread_cpu_seconds_total", ""] >= 0
    assert values["process_resident_memory_bytes", ""] > 0


async def test_latency_is_a_whole_histogram(client: Client) -> None:
    values = await samples(client)
    name = "kinguicall_forward_latency_seconds"
    bounds = [label for metric, label in values if metric == f"{name}_bucket"]
    assert bounds[-1] == "+Inf"
    assert [float(bound) for bound in bounds] == sorted(float(bound) for bound in bounds)
    assert values[f"{name}_count", ""] == values[f"{name}_bucket", "+Inf"] == 0


async def test_rooms_and_participants_are_counted(client: Client) -> None:
    path = f"/rtc?protocol=16&access_token={client.token()}"
    async with client.http.ws_connect(path) as socket:
        await socket.receive(timeout=5)
        values = await samples(client)
    assert values["kinguicall_rooms", ""] == 1
    assert values["kinguicall_participants", ""] == 1


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "text/plain"])
async def test_the_format_is_negotiated(client: Client, accept: str) -> None:
    async with client.http.get("/metrics", headers={"Accept": accept}) as response:
        assert response.content_type == accept.partition(";")[0]
        assert (await response.text()).endswith("# EOF\n") == ("openmetrics" in accept)


async def test_the_manual_lists_every_metric(client: Client) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    _, text = await client.get("/metrics")
    families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if family.name.startswith("kinguicall_")
    }
    assert set(re.findall(r"`(kinguicall_\w+)`", manual.partition("## Metrics")[2])) == families


async def test_answers_and_connections_are_counted(client: Client) -> None:
    await client.get("/nothing")
    await client.get("/rtc/validate")
    path = f"/rtc?protocol=16&access_token={client.token()}"
    async with client.http.ws_connect(path) as socket:
        await socket.receive(timeout=5)
        values = await samples(client)
    assert values["kinguicall_http_answers_total", "404"] == 1
    assert values["kinguicall_http_answers_total", "401"] == 1
    assert values["kinguicall_http_answers_total", "101"] == 1
    # That which asks, and perhaps others that are kept; a known client's is none of them.
    assert 1 <= values["kinguicall_connections_without_token", ""] <= 3


async def test_a_token_that_opens_no_websocket_lifts_no_bound(client: Client) -> None:
    assert (await client.get(f"/rtc/validate?access_token={client.token()}"))[0] == 200
    # The connection that is kept from it asks now, and is counted with its request.
    assert (await samples(client))["kinguicall_connections_without_token", ""] == 2


async def test_what_happened_in_rooms_is_counted(client: Client) -> None:
    path = f"/rtc?protocol=16&access_token={client.token()}"
    async with client.http.ws_connect(path) as socket:
        await socket.receive(timeout=5)
        values = await samples(client)
    assert values["kinguicall_rooms_opened_total", ""] == 1
    assert values["kinguicall_participants_active_total", ""] == 0
    assert values["kinguicall_rooms", ""] == 1


async def test_who_came_who_was_refused_and_who_went_is_counted(client: Client) -> None:
    path = f"/rtc?protocol=16&access_token={client.token()}"
    async with client.http.ws_connect(path) as socket:
        await socket.receive(timeout=5)
        await socket.send_bytes(rtc.SignalRequest(leave=rtc.LeaveRequest()).SerializeToString())
        while (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            pass
    for query in ("bad", client.token(identity=""), f"{client.token()}&attributes=eyJhIjoiYiJ9"):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.http.ws_connect(f"/rtc?access_token={query}")
    values = await samples(client)
    assert values["kinguicall_joins_total", ""] == 1
    for reason in ("token", "malformed", "permission"):
        assert values["kinguicall_joins_refused_total", reason] == 1
    ended = {
        label: value
        for (name, label), value in values.items()
        if name.endswith("sessions_ended_total")
    }
    assert ended == {"client_initiated": 1}
    assert values["kinguicall_signalling_bytes_sent_total", ""] > 0
    assert 0 <= values["kinguicall_event_loop_lag_seconds", ""] < 5
