"""The capacity model finds the costs that its reports were made with, and answers from them."""

import json
from pathlib import Path

import pytest

from loadtest import capacity
from loadtest.errors import LoadTestError
from tests.loadtest.figures import IDLE_S, JOIN_S, PACKET_S, PARTICIPANT_S, PUBLISHED_S, figures

RUNS = [
    figures(50, 100, published=2_000),
    figures(200, 60, published=100),
    figures(100, 250, join_per_s=50),
    figures(300, 10, published=5_000),
]


def test_costs_are_found_again() -> None:
    model = capacity.fit(RUNS)
    assert model.packet_s == pytest.approx(PACKET_S, rel=0.02)
    assert model.published_s == pytest.approx(PUBLISHED_S, rel=0.02)
    assert model.participant_s_per_s == pytest.approx(PARTICIPANT_S, rel=0.1)
    assert model.join_s == pytest.approx(JOIN_S, rel=0.05)
    assert model.idle_s_per_s == pytest.approx(IDLE_S, rel=0.1)
    assert model.participant_bytes == pytest.approx(50_000)
    assert model.packet_bytes == 1_000
    assert model.error < 0.005


def test_a_run_that_it_has_not_seen_is_predicted() -> None:
    found = capacity.check(capacity.fit(RUNS), figures(150, 180))
    assert found.predicted_cores == pytest.approx(found.measured_cores, rel=0.05)


def test_an_event_needs_what_its_packets_cost() -> None:
    model = capacity.fit(RUNS)
    # 100 packets a second of 1,000 bytes to each.
    need = capacity.need(model, 10_000, 800_000, 1_000, 4)
    assert need.cores == pytest.approx(3 + 0.4 + 0.02 + IDLE_S, rel=0.03)
    assert need.nodes == 2
    assert need.egress_bps == pytest.approx(10_000 * 100 * 1_028 * 8)
    assert need.memory_bytes == pytest.approx(5e8)


def test_reports_without_cpu_time_tell_nothing() -> None:
    silent = figures(50, 100)
    silent["timeline"]["server_cpu_cores"] = [None] * len(silent["timeline"]["at_s"])
    silent["server_load"] = None
    with pytest.raises(LoadTestError, match="CPU time"):
        capacity.fit([silent])
    with pytest.raises(LoadTestError, match="CPU time"):
        capacity.check(capacity.fit(RUNS), silent)


def test_the_command_reads_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for number, run in enumerate(RUNS):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(run))
    given = [str(path) for path in paths]
    assert capacity.main([*given, "--viewers", "1000000", "--check", given[0]]) == 0
    output = capsys.readouterr().out
    assert "1,000,000 viewers" in output
    assert "made-up with 50: predicted" in output
    paths[0].write_text("{}")
    assert capacity.main(given) == 1
    assert "not a report" in capsys.readouterr().err
