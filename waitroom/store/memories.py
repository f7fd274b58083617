"""What a process remembers of a room, as text that outlives the process: checked before it is given back to Redis."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, field_validator

_Number = Annotated[str, StringConstraints(pattern=r"^(-inf|-?\d+(\.\d+)?(e-?\d+)?)$", max_length=40)]
_Text = Annotated[str, StringConstraints(max_length=10_000)]
_Lane = Literal["main", "priority", "slow"]
_Stock = Annotated[str, StringConstraints(pattern=r"^(\d{1,10}:\d{1,10}:\d{1,16}:\d{1,16})?$")]
_Count = Annotated[int, Field(ge=0, le=2**53)]


class _Memory(BaseModel):
    """One room, as `rooms/tick` tells it and takes it (lua/shared/memory.lua)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    event: _Text
    generation: Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z_-]{1,64}$")]
    beats: _Count
    revision: _Count
    waiting: _Count
    sessions: _Count
    sessions_until_ms: Annotated[str, StringConstraints(pattern=r"^\d{1,16}$")]
    room: dict[str, _Text]
    draw: dict[str, _Text]
    lanes: dict[_Lane, dict[str, _Number]]
    stock: _Stock = ""

    @field_validator("lanes")
    @classmethod
    def has_main(cls, lanes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        """Refuse what lacks the lane that every room has: `tick` asks for it."""
        if "main" not in lanes:
            raise ValueError("no lane main")
        return lanes


_TEXTS = TypeAdapter(dict[str, str])


def is_memory(text: str) -> bool:
    """Whether `text` is what a tick of this version would tell: anything else would fail in every tick to come."""
    try:
        _Memory.model_validate_json(text)
    except ValidationError:
        return False
    return True


def memories_of(text: str | bytes) -> dict[str, str]:
    """Return room -> memory of a file's content; without those that are none, and empty where it is no such file."""
    try:
        found = _TEXTS.validate_json(text, strict=True)
    except ValidationError:
        return {}
    return {room: memory for room, memory in found.items() if is_memory(memory)}


def as_text(memories: Mapping[str, str]) -> str:
    """Return the content of such a file."""
    return _TEXTS.dump_json(dict(memories)).decode()
