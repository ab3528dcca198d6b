"""The certificate of the HTTPS port, which may be renewed while the server runs.

Connections that stand keep what they were made with; new ones get what the files held when they
were last read. Files that cannot be used change nothing: the old certificate stays in force.
"""

import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)


class CertificateError(Exception):
    """The files cannot be used: one line for the operator."""


class Certificate:
    """A PEM certificate chain and its key. Raises CertificateError."""

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain, self._key = chain, key
        self.context = self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))

    def reload(self) -> None:
        """Takes what the files hold now. Logs how that went and raises nothing."""
        try:
            # First somewhere else: a key that does not belong to the chain must not get in half.
            self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
            self._load(self.context)
        except CertificateError as error:
            log.error("the old certificate stays in force: %s", error)
        else:
            log.info("certificate read again")

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            context.load_cert_chain(self._chain, self._key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise CertificateError(f"cannot use {self._chain}: {error}") from None
        return context
