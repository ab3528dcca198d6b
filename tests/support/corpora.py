"""Hostile and real packets that nobody here wrote: samples by kind, and what to cut from them.

They live beside the repository (`../shared/corpora`, or the folder that KINGUICALL_CORPORA names)
as `<kind>/<sha1>` files. Tests skip where they are absent.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT

FOLDER = Path(os.environ.get("KINGUICALL_CORPORA", ROOT.parent / "shared" / "corpora"))
MAX_DATAGRAM = 1500


@functools.cache
def samples(*kinds: str) -> tuple[bytes, ...]:
    """All samples of the given kinds, or of all kinds; skips the test if there are none."""
    folders = [FOLDER / kind for kind in kinds] or sorted(FOLDER.glob("*/"))
    found = tuple(path.read_bytes() for folder in folders for path in sorted(folder.glob("*")))
    if not found:
        pytest.skip(f"no corpora in {FOLDER}")
    return found


def truncations(*kinds: str, longest: int = MAX_DATAGRAM) -> Iterator[bytes]:
    """Every sample, clipped to `longest` bytes, and every prefix of it, each once."""
    seen: set[bytes] = set()
    for sample in samples(*kinds):
        for length in range(min(len(sample), longest) + 1):
            if (prefix := sample[:length]) not in seen:
                seen.add(prefix)
                yield prefix
