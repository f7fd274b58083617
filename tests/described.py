"""An API as its document in docs/openapi describes it, to hold routes and answers against."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from aiohttp import ClientResponse, web
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[1] / "docs" / "openapi"
_COME_BACK = {425, 429, 503}


class Described:
    """One document."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: set[tuple[str, str]] = set()

    @cached_property
    def document(self) -> dict[str, Any]:
        return dict(yaml.safe_load((FOLDER / f"{self.name}.yaml").read_text("utf-8")))

    @cached_property
    def operations(self) -> set[tuple[str, str]]:
        return {
            (method, path)
            for path, item in self.document["paths"].items()
            for method in item
            if method in {"get", "post", "put", "patch", "delete"}
        }

    def undescribed(self, routes: Iterable[web.AbstractRoute], *, but: Iterable[str]) -> set[tuple[str, str]]:
        """Return the routes that the document lacks; those for any method stand in it as `get`."""
        found = set()
        for route in routes:
            path = route.resource.canonical if route.resource else ""
            if route.method != "HEAD" and path not in set(but):
                found.add(("get" if route.method == "*" else route.method.lower(), path))
        return found - self.operations

    async def fits(self, method: str, path: str, answer: ClientResponse) -> Any:
        """Hold an answer against what is described for `path`; return its document."""
        where = f"docs/openapi/{self.name}.yaml: {method} {path} {answer.status}"
        responses = self.document["paths"][path][method]["responses"]
        response = self._resolved(responses.get(str(answer.status)) or responses.get("default"))
        assert response is not None, f"{where} is not described"
        for name, header in response.get("headers", {}).items():
            assert name in answer.headers or not header.get("required"), f"{where}: {name} is missing"
            if name in answer.headers:
                self._check(where, header["schema"], answer.headers[name])
        assert answer.status not in _COME_BACK or "Retry-After" in answer.headers, where
        self.asked.add((method, path))
        if "content" not in response:
            assert not await answer.read(), f"{where}: a body that is not described"
            return None
        assert answer.content_type in response["content"], f"{where}: {answer.content_type} is not described"
        if "json" not in answer.content_type:
            return await answer.text()
        document = await answer.json(content_type=None)
        schema = response["content"][answer.content_type]["schema"]
        self._check(where, schema, document)
        unknown = set(document) - set(self._resolved(schema)["properties"])
        assert not unknown or "problem" in answer.content_type, f"{where}: {unknown} is not described"
        return document

    def _resolved(self, part: Any) -> Any:
        while part is not None and "$ref" in part:
            _, *steps = part["$ref"].split("/")
            part = self.document
            for step in steps:
                part = part[step]
        return part

    def _check(self, where: str, schema: Any, value: object) -> None:
        whole = {**schema, "components": self.document["components"]}
        faults = [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(whole).iter_errors(value)]
        assert faults == [], f"{where}: {faults}"
