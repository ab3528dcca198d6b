"""Counts the Python calls of the process whose PYTHONPATH leads here: test_python_sees_no_packet.

SIGUSR1 starts counting on the main thread, SIGUSR2 stops and writes {function: calls} as JSON to
the file that CALL_COUNTER_FILE names. So the server under test is the unmodified one.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

calls: Counter[str] = Counter()


def count(frame: FrameType, event: str, _: object) -> None:
    if event == "call":
        calls[f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}"] += 1


def start(*_: object) -> None:
    calls.clear()
    sys.setprofile(count)


def stop(*_: object) -> None:
    sys.setprofile(None)
    target = Path(os.environ["CALL_COUNTER_FILE"])
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(calls))
    partial.rename(target)


signal.signal(signal.SIGUSR1, start)
signal.signal(signal.SIGUSR2, stop)
