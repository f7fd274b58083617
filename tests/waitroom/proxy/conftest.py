"""An origin and an edge before it, for one test."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests import origin as parts
from waitroom.proxy.upstream import UpstreamLimits


@pytest.fixture
async def origin() -> AsyncIterator[parts.Origin]:
    async with parts.origin() as made:
        yield made


@pytest.fixture
async def edge(origin: parts.Origin) -> AsyncIterator[parts.Edge]:
    """Give an edge with more patience than any machine needs."""
    async with parts.edge(origin.url, patient()) as made:
        yield made


@pytest.fixture
async def hasty(origin: parts.Origin) -> AsyncIterator[parts.Edge]:
    """Give an edge that waits for nobody in the middle of a body, in either direction."""
    async with parts.edge(origin.url, replace(patient(), idle_timeout_s=0.4)) as made:
        yield made


def patient() -> UpstreamLimits:
    return UpstreamLimits(connect_timeout_s=30, first_byte_timeout_s=30, idle_timeout_s=30, max_body_bytes=100_000)
