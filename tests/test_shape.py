"""The repository's shape: sizes of files and functions, module headers, short front doors.

Long files and long functions are where a reader stops following. The limits are those that the
projects we look up to keep in practice: a rule for nine in ten, and a hard cap for the rest. Rust's
function cap is clippy's `too_many_lines`; here only the distribution is looked at.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {".py", ".pyi", ".rs", ".ts", ".tsx", ".mjs"}
USUAL_FILE_LINES, MAX_FILE_LINES = 400, 700
USUAL_FUNCTION_LINES, MAX_FUNCTION_LINES = 40, 80
BRACE_FUNCTION = re.compile(
    r"^(?P<indent>\s*)(?:(?:pub(?:\([^)]*\))?|const|async|unsafe|export|default)\s+)*"
    r"(?:fn|function)\s+(?P<name>\w+)"
)


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [path for name in listed if (path := ROOT / name).is_file()]


def source_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix in SOURCES]


def is_test(path: Path) -> bool:
    return bool({"tests", "tests.rs", "benches"} & set(path.parts)) or ".test." in path.name


def product_files(*suffixes: str) -> list[Path]:
    return [p for p in source_files() if p.suffix in suffixes and not is_test(p)]


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def brace_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Rust and TypeScript as their formatters lay them out: a body ends at its own indentation."""
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        if (found := BRACE_FUNCTION.match(line)) is None:
            continue
        closing = re.compile(rf"{found['indent']}}}")
        end = next((n for n in range(start, len(lines)) if closing.match(lines[n])), start)
        if lines[start].rstrip().endswith((";", "}")):
            end = start
        yield f"{path.relative_to(ROOT)}:{found['name']}", end - start + 1


def percentile_90(values: list[int]) -> int:
    return sorted(values)[int(0.9 * (len(values) - 1))]


def test_no_file_is_longer_than_the_cap() -> None:
    lines = {p: len(p.read_text().splitlines()) for p in source_files() if not is_test(p)}
    assert lines, "no source files found"
    assert {str(p): n for p, n in lines.items() if n > MAX_FILE_LINES} == {}
    usual = sum(n <= USUAL_FILE_LINES for n in lines.values())
    assert usual / len(lines) >= 0.9, sorted(lines.items(), key=lambda item: -item[1])[:20]


@pytest.mark.parametrize(
    ("suffixes", "functions_of"),
    [
        ((".py",), python_functions),
        ((".rs",), brace_functions),
        ((".ts", ".tsx", ".mjs"), brace_functions),
    ],
    ids=["python", "rust", "typescript"],
)
def test_functions_are_short(suffixes: tuple[str, ...], functions_of) -> None:  # type: ignore[no-untyped-def]
    lengths = dict(pair for path in product_files(*suffixes) for pair in functions_of(path))
    assert lengths, f"no functions found in {suffixes}"
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
    assert percentile_90(list(lengths.values())) <= USUAL_FUNCTION_LINES


def test_every_source_file_says_what_it_is() -> None:
    """A docstring, a `//!` or a block comment on top; empty files and generated ones have none."""
    headers = {
        ".py": ('"""', "#!"),
        ".pyi": ('"""',),
        ".rs": ("//!",),
        ".ts": ("//", "/*"),
        ".tsx": ("//", "/*"),
        ".mjs": ("//", "/*", "#!"),
    }
    bare = [
        str(path.relative_to(ROOT))
        for path in source_files()
        if ".test." not in path.name  # stands beside the module it is named after
        and (text := path.read_text().lstrip())
        and not text.startswith(headers[path.suffix])
    ]
    assert bare == []


@pytest.mark.parametrize(("name", "limit"), [("Makefile", 40), ("ARCHITECTURE.md", 200)])
def test_front_doors_stay_short(name: str, limit: int) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= limit


def test_the_brace_scanner_measures_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    source = tmp_path / "a.rs"
    source.write_text(
        "pub(crate) fn long(\n    a: u8,\n) {\n    if a > 1 {\n    }\n}\n"
        "trait T {\n    fn declared(&self);\n    fn short(&self) -> u8 { 1 }\n}\n"
    )
    assert dict(brace_functions(source)) == {"a.rs:long": 6, "a.rs:declared": 1, "a.rs:short": 1}


def test_the_engines_vocabulary_imports_nothing_upward() -> None:
    """`api` is what everything above speaks; only the datagrams on their way out lie below it."""
    proto = ROOT / "sfu/core/proto/src"
    imports = re.compile(r"^use crate::(?!egress\b)", re.MULTILINE)
    below = [*(proto / "api").rglob("*.rs"), proto / "egress.rs"]
    upward = [str(path.relative_to(ROOT)) for path in below if imports.search(path.read_text())]
    assert not upward
