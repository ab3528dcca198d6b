"""When memory that nobody uses any more goes back to the system.

What a thousand participants needed is free after they have left, but the allocator keeps it for the
next thousand, in pieces all over its heap. Looking for whole free pages costs some milliseconds, so
it is done once after many have left, not for each of them.
"""

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sfu import _core

FEW: Final = 16
"""Fewer connections than this are not worth the search."""

_clear_type_cache: Final[Callable[[], None]] = getattr(
    sys,
    "_clear_internal_caches",  # its name from Python 3.13 on
    sys._clear_type_cache,
)


def release() -> None:
    """Ends what only refers to itself, then gives all free pages back. Takes some milliseconds."""
    # The interpreter remembers where it has found attributes, and with it up to 4,096 names: those
    # that C code made for one look-up each hold on to the page that they happened to lie on.
    _clear_type_cache()
    gc.collect()
    _core.release_free_memory()


def settle() -> None:
    """To be called once the program has started: what is there by now is not looked through again.

    That is modules and tables, a hundred times what a session needs: looking through them held the
    event loop for up to 80 ms.
    """
    release()
    gc.freeze()


@dataclass(slots=True)
class MemoryKeeper:
    """Calls `release` when half of the connections, or more, have gone."""

    release: Callable[[], None] = release
    _most: int = 0
    """Connections at their peak since the last time."""
    _is_due: bool = False

    def grown(self, connections: int) -> None:
        """To be told of each that comes: a crowd may be gone again before the next look."""
        self._most = max(self._most, connections)

    def look(self, connections: int) -> None:
        """To be told every few seconds how many there are.

        Memory is released at the next look: what hangs on the last ones takes a moment to end.
        """
        if self._is_due:
            self._is_due = False
            self._most = connections
            self.release()
        self._is_due = self._most >= FEW and connections * 2 <= self._most
