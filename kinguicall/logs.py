"""Logs: structlog over the standard library, so that every library's records look the same.

Colours for a person at a terminal, one JSON object a line for everything else. INFO and above carry
no address and no name of a participant.
"""

import logging
import sys
from typing import Any

# structlog imports rich for its tracebacks wherever it finds it, and here typer brings it. Its
# fifty modules, which nothing else in a server needs, cost a seventh of the start and 4 MB.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment] # how imports are refused
import structlog  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich


def configure(level: str) -> None:
    """Sends the root logger's records to standard error, from `level` on."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if terminal:
        # Others show the values of variables, people's names among them.
        plain = structlog.dev.plain_traceback
        last.append(structlog.dev.ConsoleRenderer(exception_formatter=plain))
    else:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
