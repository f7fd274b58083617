"""Where the spin of a draw comes from: public randomness that nobody has while people join."""

from typing import Annotated, Self

from pydantic import Field, Strict, StringConstraints, model_validator

from waitroom.kernel.faults import Fault, Faults
from waitroom.kernel.settings import DurationMs, Instant, Many, Settings, between
from waitroom.kernel.shapes import SiteUrl
from waitroom.kernel.units import duration_ms, instant_ms
from waitroom.rules.beacons import BeaconKind


class Beacon(Settings):
    """The public beacon that turns a draw at its opening, with the main chain of drand as its default."""

    kind: Annotated[BeaconKind, Strict(False)] = Field(
        BeaconKind.NONE, description="none (the seed alone decides), drand, or manual (ops type it before a witness)."
    )
    urls: Annotated[Many[SiteUrl], Field(max_length=8)] = Field(
        ("https://api.drand.sh", "https://api2.drand.sh", "https://drand.cloudflare.com"),
        description="Servers of the chain; all are asked, the first right answer counts.",
    )
    chain_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
        description="The chain, as its servers call it; this one is drand's quicknet.",
    )
    genesis_ms: Instant = Field(instant_ms("2023-08-23T15:09:27Z"), description="When the chain began.")
    period_ms: Annotated[DurationMs, between("1s", "1h")] = Field(
        duration_ms("3s"), description="How often it gives a number; with genesis it fixes the round in advance."
    )
    delay_ms: Annotated[DurationMs, between("0s", "1h")] = Field(
        duration_ms("5s"),
        description="How long after the opening the round is due, at least: until then the roster is published.",
    )
    beacon_timeout_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("30s"), description="How long it is waited for from then on, before the draw goes on without it."
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind is BeaconKind.DRAND and not self.urls:
            raise Faults([Fault(("urls",), "must name a server, else nothing can turn the draw")])
        return self
