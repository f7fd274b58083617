"""The token of ops is read from the environment or from a file of theirs, and kept as its hash only."""

from hashlib import sha256
from pathlib import Path

import pytest

from inventory_backend.secret_files import OPS_TOKEN_VARIABLE, Secrets
from waitroom.kernel.errors import ConfigFault


def test_the_token_of_ops_is_kept_as_its_hash_only(tmp_path: Path) -> None:
    token, file = "t" * 32, tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{token}\n")
    in_file = Secrets.model_validate({"ops_token_file": str(file)})

    assert (
        in_file.ops_token_hash({})
        == Secrets().ops_token_hash({OPS_TOKEN_VARIABLE: token})
        == sha256(b"t" * 32).digest()
    )
    assert in_file.ops_token_hash({OPS_TOKEN_VARIABLE: "u" * 32}) == sha256(b"u" * 32).digest()
    assert Secrets().ops_token_hash({}) == b""


@pytest.mark.parametrize("token", ["t" * 31, "t" * 20 + " " + "t" * 20, "t" * 40 + "é", "t" * 40 + "\x07"])
def test_a_token_of_ops_that_could_be_guessed_or_not_be_sent_is_refused(token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    for written in (token, ""):
        file.write_text(written)
        with pytest.raises(ConfigFault, match="ops_token_file"):
            Secrets.model_validate({"ops_token_file": str(file)}).ops_token_hash({})
    with pytest.raises(ConfigFault, match="ops_token_file"):
        Secrets().ops_token_hash({OPS_TOKEN_VARIABLE: token})
