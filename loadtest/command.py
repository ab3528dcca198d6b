"""`kinguicall loadtest`, once its options have been read."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtest import measure, report
from loadtest.errors import LoadTestError
from loadtest.progress import Progress
from loadtest.run import Run, Target
from loadtest.scenario import Scenario, load

_Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """As given; None keeps the scenario's own number."""

    scenario: str
    participants: int | None = None
    seconds: float | None = None
    threads: int = 1
    report: Path | None = None


def run(options: Options, target: Target, echo: _Echo) -> None:
    """Runs a scenario, prints its figures and writes the report. Raises LoadTestError."""
    scenario = load(options.scenario).scaled_to(options.participants, options.seconds)
    figures = measure_once(scenario, target, options.threads)
    echo(f"{scenario.title}\n{report.table(report.rows(figures))}")
    for warning in figures["warnings"]:
        echo(f"Warning: {warning}.")
    if options.report is not None:
        for path in report.write(options.report, figures):
            echo(f"Wrote {path}")


def measure_once(scenario: Scenario, target: Target, threads: int) -> measure.Figures:
    """One run's figures."""
    progress = Progress()
    try:
        result = asyncio.run(Run(scenario, target, progress, threads).execute())
    except KeyboardInterrupt:
        raise LoadTestError("interrupted") from None
    finally:
        progress.end()
    return measure.figures(result)
