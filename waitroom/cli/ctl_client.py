"""Speak to the admin listener of a running waitroom, and say in plain words when it does not answer or refuses."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from waitroom.kernel.errors import WaitroomError

LIMIT_S = 5.0
"""How long one answer may take."""
Told = dict[str, Any]


class OpsClient:
    """The admin listener, as a client with a token sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """Speak through `session`; `reaching` makes one."""
        self._session = session
        self._url = url.rstrip("/")

    async def rooms(self) -> Told:
        """Return all rooms, Redis and the workers, as they are now."""
        return await self._ask("GET", "/api/rooms")

    async def room(self, name: str) -> Told:
        """Return one room as it is now."""
        return await self._ask("GET", f"/api/rooms/{quote(name, safe='')}")

    async def audit(self, name: str, count: int) -> Told:
        """Return the newest changes of one room."""
        return await self._ask("GET", f"/api/rooms/{quote(name, safe='')}/audit?count={count}")

    async def change(self, name: str, what: str, body: Told) -> Told:
        """Change one room; return it as it is after that."""
        return await self._ask("POST", f"/api/rooms/{quote(name, safe='')}/{what}", body)

    async def _ask(self, method: str, path: str, body: Told | None = None) -> Told:
        try:
            async with self._session.request(method, self._url + path, json=body) as answer:
                told = _read(await answer.text())
                if answer.ok and told is not None:
                    return told
                raise self._refusal(answer.status, told)
        except TimeoutError as fault:
            raise WaitroomError(f"{self._url} did not answer within {LIMIT_S:g} s") from fault
        except (aiohttp.ClientError, ValueError) as fault:
            why = getattr(fault, "strerror", None) or str(fault)
            raise WaitroomError(f"cannot reach {self._url}: {why}. {_WHERE}") from fault

    def _refusal(self, status: int, told: Told | None) -> WaitroomError:
        if told is None:
            return WaitroomError(f"{self._url} is no waitroom console (it answered {status}, not in JSON). {_WHERE}")
        if status == 401:
            return WaitroomError(f"{self._url} does not take this token. {_TOKEN}")
        faults = "".join(f"\n  {each.get('path')}: {each.get('fault')}" for each in told.get("errors", []))
        return WaitroomError(f"{told.get('detail', f'refused with status {status}')}{faults}")


_WHERE = "Is it running? --ops-url says where its console listens (ops.listen in waitroom.toml)."
_TOKEN = "Put the console token into WAITROOM_CONSOLE_TOKEN, or name its file with --token-file."  # noqa: S105 - advice


@asynccontextmanager
async def reaching(url: str, token: str, name: str) -> AsyncIterator[OpsClient]:
    """Give a client while the block lasts; `name` stands in the audit."""
    headers = {"Authorization": f"Bearer {token}", "X-Waitroom-Operator": name}
    timeout = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, raise_for_status=False) as session:
        yield OpsClient(session, url)


def _read(text: str) -> Told | None:
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
