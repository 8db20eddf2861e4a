"""An operator written with kopf: a custom resource of its own, handlers, admission, Events, the end."""

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import kopf
import pytest
from api_cluster import Client, Cluster
from custom_resources import Json, definition, establish, version

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(60)]
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
EVENTS = "/api/v1/namespaces/default/events"
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "color": {"type": "string"}},
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def operator(cluster: Cluster) -> tuple[kopf.OperatorRegistry, list[tuple[str, Any]]]:
    """The operator's handlers, and what they note."""
    registry, told = kopf.OperatorRegistry(), []
    pair = cluster.authority.issue("kopf", "system:masters")
    hook = cluster.authority.issue("hook", addresses=("127.0.0.1",))

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(
            server=cluster.url,
            ca_path=str(cluster.authority.path),
            certificate_path=str(pair.certificate),
            private_key_path=str(pair.key),
        )

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.admission.managed = "auto.kopf.example.com"
        settings.admission.server = kopf.WebhookServer(
            addr="127.0.0.1",
            host="127.0.0.1",
            cafile=str(cluster.authority.path),
            certfile=str(hook.certificate),
            pkeyfile=str(hook.key),
        )

    @kopf.on.mutate("widgets", id="paint", registry=registry)
    def paint(patch: kopf.Patch, spec: Any, **_: Any) -> None:
        if "color" not in spec:
            patch.spec["color"] = "blue"

    @kopf.on.validate("widgets", id="judge", registry=registry)
    def judge(spec: Any, warnings: list[str], **_: Any) -> None:
        warnings.append("judged")
        if spec.get("size", 0) > 5:
            raise kopf.AdmissionError("too large", code=418)

    @kopf.on.create("widgets", id="created", registry=registry)
    def created(spec: Any, body: kopf.Body, patch: kopf.Patch, **_: Any) -> Json:
        kopf.info(body, reason="Made", message=f"of size {spec['size']}")
        patch.metadata.labels["made"] = "yes"
        return {"size": spec["size"]}

    @kopf.on.update("widgets", field="spec.size", registry=registry)
    def grown(old: int, new: int, patch: kopf.Patch, **_: Any) -> None:
        told.append(("grown", (old, new)))
        patch.status["size"] = new

    @kopf.on.delete("widgets", registry=registry)
    def deleted(name: str, **_: Any) -> None:
        told.append(("deleted", name))

    return registry, told


async def until(client: Client, path: str, holds: Callable[[Json], bool], revision: str = "0") -> Json:
    """The first event of a watch from `revision` that is as it should be."""
    watch = f"{path}?watch=true&resourceVersion={revision}"
    async with asyncio.timeout(20), client.request("GET", watch) as response:
        async for line in response.content:
            event: Json = json.loads(line)
            if holds(event):
                return event
    raise AssertionError(f"the watch of {path} ended")


async def test_an_operator(cluster: Cluster, admin: Client) -> None:
    """Its admission changes and refuses, its handlers write status, labels and Events, its finalizer holds."""
    await establish(admin, definition("Widget", version("v1", SCHEMA, subresources={"status": {}})))
    registry, told = operator(cluster)
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.ensure_future(
        kopf.operator(
            registry=registry, namespaces=["default"], standalone=True, stop_flag=stop, ready_flag=ready
        )
    )
    try:
        await ready.wait()
        await until(
            admin,
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            lambda event: bool(event["object"].get("webhooks")),
        )
        await lead(admin, told)
    finally:
        stop.set()
        await running
        gc.collect()  # kopf leaves a session unclosed; what the collector says of it belongs to this test


async def lead(admin: Client, told: list[tuple[str, Any]]) -> None:
    """The life of a widget."""
    stub = {"apiVersion": "example.com/v1", "kind": "Widget"}
    refused = await admin.post(WIDGETS, {**stub, "metadata": {"name": "w"}, "spec": {"size": 9}})
    assert (refused.code, refused["message"]) == (
        418,
        'admission webhook "judge.auto.kopf.example.com" denied the request: too large',
    )
    made = await admin.post(WIDGETS, {**stub, "metadata": {"name": "w"}, "spec": {"size": 1}})
    assert (made.code, made["spec"], made.headers["Warning"]) == (
        201,
        {"size": 1, "color": "blue"},
        '299 - "judged"',
    )
    done = await until(admin, WIDGETS, lambda event: "created" in (event["object"].get("status") or {}))
    assert (done["object"]["metadata"]["labels"], done["object"]["metadata"]["finalizers"]) == (
        {"made": "yes"},
        ["kopf.zalando.org/KopfFinalizerMarker"],
    )
    event = await until(admin, EVENTS, lambda event: event["object"]["reason"] == "Made")
    assert (event["object"]["message"], event["object"]["involvedObject"]["name"]) == ("of size 1", "w")
    patch = {"spec": {"size": 2}}
    await admin.call("PATCH", f"{WIDGETS}/w", patch, type="application/merge-patch+json")
    grown = await until(admin, WIDGETS, lambda event: (event["object"].get("status") or {}).get("size") == 2)
    await admin.call("DELETE", f"{WIDGETS}/w")
    revision = grown["object"]["metadata"]["resourceVersion"]
    await until(admin, WIDGETS, lambda event: event["type"] == "DELETED", revision)
    assert told == [("grown", (1, 2)), ("deleted", "w")]
