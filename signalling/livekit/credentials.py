"""The token that a client holds to come back with, and what the client knows of its rights.

A fresh token goes out with each change, and before the old one expires. It is made when it is
written, so that it says what holds then.
"""

from collections.abc import Callable
from typing import Final

from sfu.clock import Cancellable
from sfu.values import Permissions
from signalling.grants import Claims
from signalling.livekit import admission, outbound
from signalling.livekit.context import Context

TOKEN_EVERY_S: Final = 300.0
"""A fresh token is sent this often, so that a reconnect works after the first one has expired."""
ARRIVED_AFTER_S: Final = 5.0
"""A client that is heard of so long after it was sent a token has it."""


class Credentials:
    """Of one session. `issue` signs a token."""

    def __init__(self, context: Context, claims: Claims, issue: Callable[[Claims], str]) -> None:
        self.claims = claims
        """Of the token that the session began with, narrowed by those that it came back with."""
        self.known = context.participant.permissions
        """Rights that the client has a token for, as far as is certain."""
        self._context = context
        self._issue = issue
        self._sent: tuple[Permissions, float] | None = None
        self._timer: Cancellable | None = None

    def push(self) -> None:
        """Sends a fresh token, and plans the next one."""
        self.close()
        self._timer = self._context.clock.call_later(TOKEN_EVERY_S, self.push)
        self._context.latest("token", self._fresh)

    def heard(self) -> None:
        """The client has sent something."""
        if self._sent is not None:
            permissions, at = self._sent
            if self._context.clock.time() - at >= ARRIVED_AFTER_S:
                self.known, self._sent = permissions, None

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fresh(self) -> bytes:
        participant = self._context.participant
        self._sent = (participant.permissions, self._context.clock.time())
        return outbound.refresh_token(self._issue(admission.claims_of(self.claims, participant)))
