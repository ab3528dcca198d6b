"""The one error of this package: a description that cannot be used, and why.

It is the peer's fault by definition, so its text may be sent back to the peer: it says what was
expected and what was got, cut to a bounded length.
"""

_GOT_LENGTH_MAX = 80


class SdpError(ValueError):
    """A session description is malformed, too large or not acceptable.

    `expected` and `got` are short texts; `got` is cut to 80 characters of its `repr`. `repeats`
    tells that the peer would send the same again on a new connection, as with all that is about
    the text alone.
    """

    def __init__(
        self, problem: str, *, expected: str = "", got: object = None, repeats: bool = True
    ) -> None:
        self.problem = problem
        self.repeats = repeats
        self.expected = expected
        self.got = "" if got is None else _short(got)
        parts = [problem]
        if expected:
            parts.append(f"expected {expected}")
        if self.got:
            parts.append(f"got {self.got}")
        super().__init__(", ".join(parts))


def _short(value: object) -> str:
    text = ascii(value[: _GOT_LENGTH_MAX + 1] if isinstance(value, str) else value)
    return text if len(text) <= _GOT_LENGTH_MAX else text[:_GOT_LENGTH_MAX] + "..."
