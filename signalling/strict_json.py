"""JSON from strangers: what Python's parser lets through and nothing after it can carry is refused.

That is text with lone surrogates, which JSON can spell and UTF-8 cannot, numbers that are none, and
nesting deeper than the stack.
"""

import json
from typing import Any, NoReturn


class TextError(ValueError):
    """A text within is not Unicode."""


def parse(data: bytes | str) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError, and nothing else."""
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(text, parse_constant=_refuse)
        # Only an escape can bring one in, as the text itself is UTF-8.
        if "\\u" in text:
            write(value)
    except UnicodeEncodeError:
        raise TextError("not a Unicode text") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The same, if it is an object. Raises ValueError."""
    value = parse(data)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def write(value: object) -> bytes:
    """The shortest JSON, in UTF-8. Raises ValueError for text that is not Unicode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
