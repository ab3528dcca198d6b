"""Keeps a session's fault from whoever tells it something, and from the others who are told.

Rooms tell many in loops, and half-way through changes of their own. A `SessionSink` promises not to
fail; if one does all the same it is logged, and that session alone is ended, by the event loop.
"""

import logging
from collections.abc import Callable
from typing import Any, cast

from sfu.engine import EngineBusyError
from sfu.ports import SessionSink

log = logging.getLogger(__name__)


class _Isolated:
    """Every method of a sink, without its exceptions."""

    def __init__(self, sink: SessionSink, name: str, on_fault: Callable[[], None]) -> None:
        self._sink = sink
        self._name = name
        self._on_fault = on_fault

    def __getattr__(self, method: str) -> Callable[..., None]:
        def isolated(*args: Any, **kwargs: Any) -> None:
            try:
                getattr(self._sink, method)(*args, **kwargs)
            except EngineBusyError as error:
                log.warning("session of %s ended: %s", self._name, error)
                self._on_fault()
            except Exception:
                log.exception("session of %s ended: it failed at %s", self._name, method)
                self._on_fault()

        # The next call finds it without coming here.
        setattr(self, method, isolated)
        return isolated


def isolate(sink: SessionSink, name: str, on_fault: Callable[[], None]) -> SessionSink:
    """The sink as its room knows it. `name` is for the log, and no person's.

    `on_fault` is called in the middle of whatever the room does: it should only plan the end.
    """
    return cast("SessionSink", _Isolated(sink, name, on_fault))
