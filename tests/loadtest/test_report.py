"""Reports on disk: what is written can be read, and mistakes are named."""

from pathlib import Path

import pytest

from loadtest import report
from loadtest.errors import LoadTestError
from tests.loadtest.figures import figures


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = figures(5, 10)
    data, page = report.write(tmp_path / "new", written)
    assert report.read(data) == written
    text = page.read_text()
    assert text.startswith("# A made-up run\n")
    wanted = "video 2.0 ms, lost 1.00%; frozen 50.0%, 300 kbit/s a stream"
    assert f"| Group bad | {wanted} |" in text
    assert "| Video loss, before / after repair | 2.000% / 0.100% |" in text


def test_files_that_are_no_reports_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with pytest.raises(LoadTestError, match=r"x\.json: No such file"):
        report.read(file)
    for text, reason in (
        ("[", "not a report"),
        ("[]", "not a report"),
        ('{"schema": 9}', "another"),
    ):
        file.write_text(text)
        with pytest.raises(LoadTestError, match=reason):
            report.read(file)
    with pytest.raises(LoadTestError, match="cannot be written"):
        report.write(file / "below", figures(5, 10))
