"""An origin and an edge before it, for one test."""

from collections.abc import AsyncIterator

import pytest

from tests import origin as parts
from waitroom.proxy.upstream import UpstreamLimits


@pytest.fixture
async def origin() -> AsyncIterator[parts.Origin]:
    async with parts.origin() as made:
        yield made


@pytest.fixture
async def edge(origin: parts.Origin) -> AsyncIterator[parts.Edge]:
    limits = UpstreamLimits(connect_timeout_s=0.5, first_byte_timeout_s=0.4, idle_timeout_s=0.4, max_body_bytes=100_000)
    async with parts.edge(origin.url, limits) as made:
        yield made
