"""Tell who asks whether the till lives, and whether it can sell."""

from aiohttp import web

from inventory_backend.catalogue import Catalogue
from inventory_backend.stock.rebuild import Rebuild
from waitroom.kernel.answers import json_answer


class Probes:
    """`/healthz`: the process answers. `/readyz`: Redis is loaded and the ledger was read a moment ago."""

    def __init__(self, rebuild: Rebuild, catalogue: Catalogue) -> None:
        """Ask these two."""
        self._rebuild = rebuild
        self._catalogue = catalogue

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/healthz", self.healthz)
        router.add_get("/readyz", self.readyz)

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say that the process answers."""
        return json_answer({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether holds can be taken, and what is missing."""
        parts = {"stock": self._rebuild.is_loaded, "ledger": self._catalogue.is_fresh}
        if all(parts.values()):
            return json_answer({"status": "ready", **parts})
        return json_answer({"status": "not-ready", **parts}, status=503, headers={"Retry-After": "1"})
