"""Certificates for tests, made by openssl as operators make them."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate that signs itself, and its key."""

    certificate: Path
    key: Path

    def trusting(self) -> ssl.SSLContext:
        """Return a client that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def serving(self) -> ssl.SSLContext:
        """Return a server that shows this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def replace_by(self, other: "Pair") -> None:
        """Put the files of `other` in the place of these."""
        self.key.write_bytes(other.key.read_bytes())
        self.certificate.write_bytes(other.certificate.read_bytes())


def made(folder: Path, name: str = "shop", *, host: str = "shop.example", days: int = 30) -> Pair:
    """Make a pair in `folder`."""
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days)]
    files = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run(["openssl", "req", *kind, *files, *subject], check=True, capture_output=True, timeout=60)
    return pair
