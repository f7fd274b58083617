"""Certificate files: what is wrong with them is told, and what was good goes on."""

import logging
import subprocess
from pathlib import Path

import pytest

from tests import certificate
from waitroom.kernel.errors import ConfigFault
from waitroom.wire.certificates import Certificates, tls_context


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    one, other = certificate.made(tmp_path, "one"), certificate.made(tmp_path, "other")
    locked, text = tmp_path / "locked.key", tmp_path / "text.pem"
    subprocess.run(
        ["openssl", "ec", "-in", str(one.key), "-aes256", "-passout", "pass:secret", "-out", str(locked)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    text.write_text("no certificate")

    for files, told in (
        ((tmp_path / "none.pem", one.key), r"^edge\.tls_certificate: .*none\.pem cannot be read: No such file"),
        ((one.certificate, tmp_path / "none.key"), r"^edge\.tls_key: .*none\.key cannot be read: No such file"),
        ((one.certificate, other.key), "do not belong together"),
        ((text, one.key), "is no PEM file"),
        ((one.certificate, text), "is no PEM file"),
        ((one.certificate, locked), r"^edge\.tls_key: .* is locked with a password"),
    ):
        with pytest.raises(ConfigFault, match=told):
            tls_context(*files)


def test_files_that_became_unreadable_keep_the_old_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = certificate.made(tmp_path)
    certificates = Certificates(pair.certificate, pair.key)
    before = certificates.context

    pair.certificate.write_text("half a fi")
    with caplog.at_level(logging.ERROR):
        certificates.renew()

    assert certificates.context is before
    assert [record.message for record in caplog.records] == ["certificate not renewed, the old one goes on"]
    assert caplog.records[0].exc_info is None


def test_good_files_are_taken_over(tmp_path: Path) -> None:
    pair = certificate.made(tmp_path)
    certificates = Certificates(pair.certificate, pair.key)
    before = certificates.context

    pair.replace_by(certificate.made(tmp_path, "newer"))
    certificates.renew()

    assert certificates.context is not before
