"""Whether the native module has been built from the sources that are about to run.

After `git pull` the Python code is new and the module is not, until it is built again. What would
come of that is a traceback from somewhere, or worse, an engine that takes orders wrongly.
"""

from importlib.resources import files

REMEDY = "run `make build`"


class EngineMismatchError(Exception):
    """The module is missing, or of other sources."""


def check_engine() -> None:
    """Raises EngineMismatchError."""
    try:
        from sfu import _core
    except ImportError as error:
        raise EngineMismatchError(f"the engine cannot be loaded ({error}): {REMEDY}") from error
    interface = files("sfu") / "_core.pyi"
    if interface.read_text(encoding="utf-8") != getattr(_core, "INTERFACE", ""):
        raise EngineMismatchError(f"the engine is older or newer than the program: {REMEDY}")
