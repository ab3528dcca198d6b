"""The way in: the `kinguicall` command and `python -m kinguicall`.

A server takes its Python objects from the system's allocator. CPython's own keeps memory in arenas
of 1 MiB and gives one back only when it is empty; a few objects that last would hold on to what a
thousand participants have left behind. Which allocator is used is settled when the interpreter
starts, so the command starts itself once more: the same process, arguments and files.
"""

import os
import sys

SETTING = "PYTHONMALLOC"


def main() -> None:
    """Runs the command."""
    if sys.argv[1:2] == ["serve"]:
        _use_system_allocator()
    # Not before: what is imported now would be imported twice.
    from kinguicall import cli

    cli.main()


def _use_system_allocator() -> None:
    """Starts this program again if its allocator is not settled yet; goes on if that fails."""
    if SETTING in os.environ or sys.flags.ignore_environment or not _has_glibc():
        return
    # As the interpreter's setting, and the sign that this has been tried.
    os.environ[SETTING] = "malloc"
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves
    except (OSError, ValueError):
        return  # a packed program without an interpreter: the server only keeps more memory


def _has_glibc() -> bool:
    """Others' allocators are slower with Python's many small objects, or cannot be trimmed."""
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    main()
