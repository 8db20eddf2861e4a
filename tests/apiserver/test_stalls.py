"""Requests that take much work: a callback of the event loop takes no longer for any of them than it may."""

import asyncio
from typing import Any, NamedTuple

import pytest
from api_cluster import Client
from custom_resources import CRDS, definition, until, version
from loop_time import LONGEST, fetched

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
TERMS = 14_000


class Asked(NamedTuple):
    """A request, and the code of its answer."""

    code: int
    method: str
    path: str
    body: Any = None
    type: str = "application/json"


def labels(term: str, between: str = ",", around: str = "{}") -> str:
    """The path of a list by a label selector of many terms."""
    chosen = around.format(between.join(term.format(n) for n in range(TERMS)))[:110_000]
    return f"{PODS}?labelSelector={chosen[: chosen.rindex(',')]}" + (")" if "(" in around else "")


def added(path: str, count: int = 9_999) -> list[dict[str, Any]]:
    """A JSON patch of as many operations as are allowed."""
    return [{"op": "add", "path": path.format(n), "value": f"example.com/v{n}"} for n in range(count)]


JSON_PATCH = "application/json-patch+json"
INSERTS = [
    {"op": "add", "path": "/metadata/finalizers", "value": []},
    *({**one, "path": "/metadata/finalizers/0"} for one in added("", 9_998)),
]
FIELDS = ",".join(f"metadata.name!=v{n}" for n in range(5_000))
CASES = {
    "equal labels": Asked(200, "GET", labels("k{}=v")),
    "absent labels": Asked(200, "GET", labels("!k{}")),
    "one label of many values": Asked(200, "GET", labels("v{}", around="a+in+({}")),
    "short terms": Asked(200, "GET", labels("a")),
    "fields": Asked(200, "GET", f"{PODS}?fieldSelector={FIELDS}"),
    "a watch": Asked(200, "GET", labels("!k{}") + "&watch=1&timeoutSeconds=1"),
    "a patch of a map": Asked(200, "PATCH", f"{CONFIG_MAPS}/c", added("/data/k{}"), JSON_PATCH),
    "inserts into a list": Asked(200, "PATCH", f"{CONFIG_MAPS}/c", INSERTS, JSON_PATCH),
    "openapi": Asked(200, "GET", "/openapi/v2"),
}


async def asked_for(cases: dict[str, Asked], client: Client, callbacks: list[float]) -> dict[str, float]:
    """Ask for each; those during which a callback took too long."""
    slow, codes = {}, {}
    for name, asked in cases.items():
        headers = {"Content-Type": asked.type}
        callbacks[0] = 0.0
        codes[name], _ = await asyncio.to_thread(fetched, client, asked.path, headers, asked.method, asked.body)
        if callbacks[0] > LONGEST:
            slow[name] = callbacks[0]
    assert codes == {name: asked.code for name, asked in cases.items()}
    return slow


@pytest.fixture
async def objects(admin: Client) -> None:
    """A ConfigMap, and pods to be selected."""
    await admin.post(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    spec = {"containers": [{"name": "web", "image": "web"}]}
    for number in range(20):
        answer = await admin.post(
            PODS, {"metadata": {"name": f"p{number}", "labels": {"a": "b"}}, "spec": spec}
        )
        assert answer.code == 201


async def test_no_request_holds_up_the_loop(objects: None, admin: Client, callbacks: list[float]) -> None:
    """Long selectors, long patches and large documents: each is answered, and no callback takes 50 ms."""
    assert await asked_for(CASES, admin, callbacks) == {}


ITEM = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 40}, "b": {"type": "integer"}},
    "x-kubernetes-validations": [{"rule": "self.a.size() < 100 && self.b >= 0"}],
}
SPEC = {"type": "object", "properties": {"items": {"type": "array", "maxItems": 40_000, "items": ITEM}}}
LARGE = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "large"},
    "spec": {"items": [{"a": "x" * 30, "b": number} for number in range(19_000)]},
}
LABEL = {"metadata": {"labels": {"a": "b"}}}
LARGE_WRITES = {
    "create": Asked(201, "POST", WIDGETS, LARGE),
    "patch": Asked(200, "PATCH", f"{WIDGETS}/large", LABEL, "application/merge-patch+json"),
    "apply": Asked(
        201,
        "PATCH",
        f"{WIDGETS}/other?fieldManager=me",
        LARGE | {"metadata": {"name": "other"}},
        "application/apply-patch+yaml",
    ),
    "list": Asked(200, "GET", WIDGETS),
    "delete": Asked(200, "DELETE", f"{WIDGETS}/large"),
}


async def test_a_large_custom_resource_does_not_hold_up_the_loop(admin: Client, callbacks: list[float]) -> None:
    """A custom resource of a megabyte, each item judged by CEL, is written and read aside."""
    made = definition("Widget", version(schema={"type": "object", "properties": {"spec": SPEC}}))
    assert (await admin.post(CRDS, made)).code == 201
    await until(admin, CRDS, "widgets.example.com", "Established")
    assert await asked_for(LARGE_WRITES, admin, callbacks) == {}


async def test_many_definitions_do_not_hold_up_the_loop(admin: Client, callbacks: list[float]) -> None:
    """Thirty definitions one after the other, read back in the documents that tell of them."""
    group = {f"g{n}": {"type": "string", "description": "x" * 80} for n in range(10)}
    fields = {f"f{n}": {"type": "object", "properties": group} for n in range(30)}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    cases = {
        f"kind {n}": Asked(
            201, "POST", CRDS, definition(f"Kind{n}", version(schema=schema), group=f"g{n % 5}.io")
        )
        for n in range(30)
    }
    cases |= {path: Asked(200, "GET", path) for path in ("/apis", "/openapi/v2", "/openapi/v3")}
    assert await asked_for(cases, admin, callbacks) == {}
