"""Definitions of custom resources, and waiting for what becomes of them: what the tests share."""

import asyncio
import json
from typing import Any

from api_cluster import Client

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
Json = dict[str, Any]


def version(name: str = "v1", schema: Json | None = None, **more: Any) -> Json:
    """A served version whose spec has a size from 1 to 10, 3 by default."""
    size = {"type": "integer", "minimum": 1, "maximum": 10, "default": 3}
    plain = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": size, "color": {"type": "string"}}},
            "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
        },
    }
    return {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": plain if schema is None else schema},
        **more,
    }


def definition(
    kind: str = "Widget", *versions: Json, group: str = "example.com", scope: str = "Namespaced", **more: Any
) -> Json:
    """The definition of a kind; `more` are names, or the conversion."""
    plural = f"{kind.lower()}s"
    spec: Json = {
        "group": group,
        "scope": scope,
        "names": {"plural": plural, "kind": kind, **more.pop("names", {})},
        "versions": list(versions or (version(),)),
        **more,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


def widget(name: str = "w", kind: str = "Widget", api_version: str = "example.com/v1", **parts: Any) -> Json:
    """An object; its spec is empty unless given."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {}, **parts}


def conditions(obj: Json) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return {one["type"]: (one["status"], one["reason"]) for one in found}


async def events(client: Client, path: str, count: int, *, seconds: float = 10) -> list[Json]:
    """The first `count` events of a watch."""
    found: list[Json] = []
    async with asyncio.timeout(seconds), client.request("GET", path) as response:
        async for line in response.content:
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def until(client: Client, path: str, name: str, type: str, status: str = "True") -> Json:
    """The object once a condition of it has the status."""
    query = f"{path}?watch=true&fieldSelector=metadata.name%3D{name}"
    async with asyncio.timeout(10), client.request("GET", query) as response:
        async for line in response.content:
            event = json.loads(line)
            if conditions(event["object"]).get(type, ("", ""))[0] == status:
                found: Json = event["object"]
                return found
    raise AssertionError(f"the watch of {name} ended")


async def establish(client: Client, body: Json) -> Json:
    """Create a definition; the definition once it is established."""
    answer = await client.post(CRDS, body)
    assert answer.code == 201, answer.body
    return await until(client, CRDS, body["metadata"]["name"], "Established")
