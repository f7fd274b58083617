"""Serve TLS with certificate files that may be exchanged while connections go on."""

import logging
import ssl
from pathlib import Path

from waitroom.kernel.errors import ConfigFault

log = logging.getLogger(__name__)


class Certificates:
    """What new handshakes get; connections that are open keep what they have."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files.

        Raises:
            ConfigFault: they cannot be used.
        """
        self._certificate = certificate
        self._key = key
        self._context = tls_context(certificate, key)

    @property
    def context(self) -> ssl.SSLContext:
        """What the next handshake is made with."""
        return self._context

    def renew(self) -> None:
        """Read the files again; where they cannot be used, what was read before goes on."""
        try:
            self._context = tls_context(self._certificate, self._key)
        except ConfigFault as fault:
            log.error("certificate not renewed, the old one goes on", extra={"faults": fault.faults})  # noqa: TRY400  # no traceback: the words say it all
        else:
            log.info("certificate renewed", extra={"file": str(self._certificate)})


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return how we do TLS: 1.2 or newer, HTTP/1.1, with this certificate chain.

    A new context each time, never the files loaded into one that is in use: half of a pair would be left in it.

    Raises:
        ConfigFault: a file cannot be read, or the two do not belong together.
    """
    for setting, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as fault:
            raise ConfigFault([f"edge.{setting}: {file} cannot be read: {fault.strerror}"]) from fault
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as fault:
        why = "they do not belong together" if fault.reason == "KEY_VALUES_MISMATCH" else "one of them is no PEM file"
        raise ConfigFault([f"edge.tls_certificate: {certificate} and {key}: {why}"]) from fault
    except _NeedsPassword:
        raise ConfigFault([f"edge.tls_key: {key} is locked with a password; take one that is not"]) from None
    return context


class _NeedsPassword(Exception):
    """OpenSSL would ask for a password at the terminal, where nobody is."""


def _no_password() -> str:
    raise _NeedsPassword
