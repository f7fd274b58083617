"""Turn a TOML file into frozen settings, or into a list of everything that is wrong with it.

A field's name carries its unit (`session_duration_ms`); its key in the file does not (`session_duration = "5m"`),
because the value written there does.
"""

import os
import re
import secrets
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    ValidationError,
    ValidationInfo,
)

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.faults import Fault, syntax, told
from waitroom.kernel.tokens import SECRET_LENGTH, Keys
from waitroom.kernel.units import Address, address, duration_ms, instant_ms, size_bytes, spell_duration, spell_size

SECRET_VARIABLE = "WAITROOM_SECRET"  # noqa: S105 - the name of a variable, not what is in it


def _file_key(name: str) -> str:
    return re.sub(r"_(ms|s|bytes)$", "", name)


class Settings(BaseModel):
    """A table of settings: frozen, nothing unknown, each key known to the file without its unit."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        alias_generator=AliasGenerator(validation_alias=_file_key, serialization_alias=_file_key),
    )

    @classmethod
    def cross_faults(cls, written: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield what is wrong between parts of the file.

        It looks at the file as written, so that these faults are told together with those inside the parts.
        """
        yield from ()


def _timed(written: object, info: ValidationInfo) -> object:
    return _measured(written, info, duration_ms, '"10m"')


def _timed_s(written: object, info: ValidationInfo) -> object:
    found = _timed(written, info)
    return found / 1000 if isinstance(written, str) and isinstance(found, int) else found


def _sized(written: object, info: ValidationInfo) -> object:
    return _measured(written, info, size_bytes, '"64KiB"')


def _measured(written: object, info: ValidationInfo, read: Any, example: str) -> object:
    if isinstance(written, str):
        return read(written)
    if isinstance(written, int | float) and not isinstance(written, bool):
        if written == 0 or not _is_from_file(info):
            return written
        raise ValueError(f"a number says no unit; write it as text, such as {example}")
    raise ValueError(f"must be text with a unit, such as {example}")


def _moment(written: object, info: ValidationInfo) -> object:
    if isinstance(written, int) and not isinstance(written, bool) and not _is_from_file(info):
        return written
    return instant_ms(written if isinstance(written, str | datetime) else "")  # anything else is refused as "" is


def _listening(written: object) -> object:
    return written if isinstance(written, Address) else address(written if isinstance(written, str) else "")


def _is_from_file(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("from_file"))


def _located(written: object, info: ValidationInfo) -> object:
    if written == "":
        return None
    if isinstance(written, str):
        return (info.context or {}).get("folder", Path()) / Path(written).expanduser()
    if written is None or isinstance(written, Path):
        return written
    raise ValueError('must be the path of a file or folder, in quotes; "" is none')


DurationMs = Annotated[int, BeforeValidator(_timed)]
"""Milliseconds in the program; "10m", "1h30m" or "250ms" in the file."""
DurationS = Annotated[float, BeforeValidator(_timed_s)]
"""Seconds in the program; "10m", "1h30m" or "250ms" in the file."""
Bytes = Annotated[int, BeforeValidator(_sized)]
"""Bytes in the program; "64KiB" in the file."""
Instant = Annotated[int, BeforeValidator(_moment)]
"""Milliseconds since 1970 in the program; RFC 3339 with a zone in the file."""
Listen = Annotated[Address, BeforeValidator(_listening)]
"""Where to listen: "127.0.0.1:8080" in the file."""
OptionalPath = Annotated[Path | None, BeforeValidator(_located)]
"""A file or folder, looked for from the folder of the file that names it; "" is none."""

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Strict(False)]
"""A list in the file; a tuple in the program, so that it stays as it was read."""


def between(low: str, high: str) -> AfterValidator:
    """Bound a DurationMs or a Bytes, both ends included, in the units of the file."""
    is_time = low[-1] in "smhd"
    read, spell = (duration_ms, spell_duration) if is_time else (size_bytes, spell_size)

    def check(found: int) -> int:
        if not read(low) <= found <= read(high):
            raise ValueError(f"must be between {low} and {high}, and is {spell(found)}")
        return found

    return AfterValidator(check)


Model = TypeVar("Model", bound=Settings)


def load(path: Path, model: type[Model], *, copy: Path | None = None) -> Model:
    """Return what the TOML file says, or what it said when `copy` was made of it.

    Raises:
        ConfigFault: the file cannot be read, is not TOML, or says something wrong; it names every fault.
    """
    try:
        written = tomllib.loads((copy or path).read_text("utf-8"))
    except tomllib.TOMLDecodeError as fault:
        raise ConfigFault([f"{path}: {syntax(str(fault))}"]) from fault
    except UnicodeDecodeError as fault:
        raise ConfigFault([f"{path}: must be UTF-8 text; byte {fault.start} is not"]) from fault
    except OSError as fault:
        raise ConfigFault([f"{path}: cannot be read: {fault.strerror}"]) from fault
    return parse(written, model, folder=path.parent)


def parse(written: Mapping[str, Any], model: type[Model], *, folder: Path | None = None) -> Model:
    """Return the settings in a mapping that looks like the file; relative paths start at `folder`.

    Raises:
        ConfigFault: it names every fault.
    """
    faults = list(model.cross_faults(written))
    context = {"from_file": True, "folder": folder or Path()}
    try:
        read = model.model_validate(written, by_alias=True, by_name=False, context=context)
    except ValidationError as refused:
        faults = [*told(refused, model), *faults]
    else:
        if not faults:
            return read
    raise ConfigFault(list(dict.fromkeys(map(str, faults))))


def read_secrets(environment: Mapping[str, str], secret_file: Path | None) -> Keys:
    """Return the signing keys: from WAITROOM_SECRET (comma between two, newest last), else from the file.

    Raises:
        ConfigFault: there is none, one is too short, or other people may read the file.
    """
    given = environment.get(SECRET_VARIABLE, "")
    source = SECRET_VARIABLE
    if not given and secret_file is not None:
        given, source = read_private(secret_file), str(secret_file)
    found = [part for part in re.split(r"[,\s]+", given) if part]
    if not found:
        raise ConfigFault(
            [
                f"secret: none is set. Put {SECRET_LENGTH} or more random characters into {SECRET_VARIABLE},"
                " or into a file that only you may read (mode 0600) and name it in secrets.file."
                " `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
            ]
        )
    if len(found) > 2 or any(len(part) < SECRET_LENGTH for part in found):
        raise ConfigFault([f"{source}: give one or two secrets of at least {SECRET_LENGTH} characters, newest last"])
    return Keys([part.encode() for part in found])


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner may read.

    Raises:
        ConfigFault: it is missing, or others may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigFault([f"{path}: cannot be read: {getattr(fault, 'strerror', None) or 'not text'}"]) from fault
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigFault([f"{path}: others may read it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"])
    return text.strip()


def create_secret_file(path: Path) -> None:
    """Write a new secret into `path`, mode 0600, unless the file exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(fresh, path)  # whole or not at all, also when two programs start at once
    finally:
        Path(fresh).unlink()
