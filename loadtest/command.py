"""`kinguicall loadtest`, once its options have been read."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest import compare, measure, plots, report
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


def run(options: Options, targets: Sequence[Target], echo: _Echo) -> None:
    """Runs a scenario against each server, prints the figures, writes the reports.

    With two servers the figures are compared. Raises LoadTestError.
    """
    scenario = load(options.scenario).scaled_to(options.participants, options.seconds)
    measured = [_measure(scenario, target, options.threads, echo) for target in targets]
    if len(measured) == 1:
        if options.report is not None:
            _write(options.report, measured[0], echo)
        return
    one, other = measured
    echo(f"A, B and B / A:\n{report.table(compare.rows(one, other))}")
    if options.report is not None:
        for name, figures in (("a", one), ("b", other)):
            _write(options.report / name, figures, echo)
        page = compare.markdown(one, other)
        echo(f"Wrote {report.write_page(options.report, scenario.name, page)}")


def _measure(scenario: Scenario, target: Target, threads: int, echo: _Echo) -> measure.Figures:
    progress = Progress()
    try:
        result = asyncio.run(Run(scenario, target, progress, threads).execute())
    except KeyboardInterrupt:
        raise LoadTestError("interrupted") from None
    finally:
        progress.end()
    figures = measure.figures(result)
    echo(f"{scenario.title}\n{report.table(report.rows(figures))}")
    for warning in figures["warnings"]:
        echo(f"Warning: {warning}.")
    return figures


def _write(folder: Path, figures: measure.Figures, echo: _Echo) -> None:
    for path in report.write(folder, figures):
        echo(f"Wrote {path}")
    try:
        echo(f"Wrote {plots.write(folder, figures)}")
    except LoadTestError as error:
        echo(f"No plots: {error}")
