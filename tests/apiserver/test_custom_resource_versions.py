"""Custom resources in several versions: without conversion, and through a webhook behind real HTTPS."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from api_cluster import Client, Cluster
from custom_resources import CRDS, Json, definition, establish, events, version, widget

V1, V2 = "/apis/example.com/v1/namespaces/default/widgets", "/apis/example.com/v2/namespaces/default/widgets"


def texts(**fields: str) -> Json:
    """A schema whose spec has these fields, of these types."""
    spec = {"type": "object", "properties": {name: {"type": type} for name, type in fields.items()}}
    return {"type": "object", "properties": {"spec": spec}}


@asynccontextmanager
async def converting(cluster: Cluster, answer: Any) -> AsyncIterator[Json]:
    """A conversion webhook on loopback TLS that answers a request with `answer(request)`; its clientConfig."""
    pair = cluster.authority.issue("webhook", addresses=("127.0.0.1",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        review = orjson.loads(await request.read())
        asked = review["request"]
        response = {"uid": asked["uid"], "result": {"status": "Success"}, **answer(asked)}
        body = {"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    bundle = base64.b64encode(cluster.authority.path.read_bytes()).decode()
    try:
        yield {"url": f"https://127.0.0.1:{port}/convert", "caBundle": bundle}
    finally:
        await runner.cleanup()


def host_and_port(request: Json) -> Json:
    """v1 has hostPort, v2 host and port."""
    made = []
    for obj in request["objects"]:
        spec = dict(obj["spec"])
        if request["desiredAPIVersion"].endswith("v2"):
            host, _, port = spec.pop("hostPort", ":").partition(":")
            spec |= {"host": host, "port": port}
        else:
            spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        made.append({**obj, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    return {"convertedObjects": made}


def converted_definition(config: Json) -> Json:
    conversion = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
    }
    return definition(
        "Widget",
        version("v1", texts(hostPort="string")),
        version("v2", texts(host="string", port="string"), storage=False),
        conversion=conversion,
    )


async def test_versions_without_conversion_differ_in_their_name(admin: Client) -> None:
    """An object is stored once, judged by the version it is written in, and read in either; a write that
    changes nothing moves it to the version that is stored now."""
    versions = (
        version("v1", texts(size="integer"), deprecated=True),
        version("v2", texts(size="integer", color="string"), storage=False),
    )
    await establish(admin, definition("Widget", *versions))
    made = await admin.post(V2, widget(api_version="example.com/v2", spec={"size": 1, "color": "red"}))
    assert (made.code, made["apiVersion"], made["spec"]) == (201, "example.com/v2", {"size": 1, "color": "red"})
    old = await admin.get(f"{V1}/w")
    assert ("example.com/v1", {"size": 1}, made["metadata"]["resourceVersion"]) == (
        old["apiVersion"],
        old["spec"],
        old["metadata"]["resourceVersion"],
    )
    assert old.headers["Warning"] == '299 - "example.com/v1 Widget is deprecated; use example.com/v2 Widget"'
    assert [one["apiVersion"] for one in (await admin.get(V2))["items"]] == ["example.com/v2"]
    watched = await events(admin, f"{V1}?watch=true", 1)
    assert (watched[0]["type"], watched[0]["object"]["apiVersion"]) == ("ADDED", "example.com/v1")
    body = {"spec": {"versions": [{**versions[0], "storage": False}, {**versions[1], "storage": True}]}}
    moved = await admin.call("PATCH", f"{CRDS}/widgets.example.com", body, type="application/merge-patch+json")
    assert moved["status"]["storedVersions"] == ["v1", "v2"]
    assert (await admin.get(f"{V1}/w"))["apiVersion"] == "example.com/v1"
    shown = await admin.get(f"{V2}/w")
    assert shown["apiVersion"] == "example.com/v2"
    migrated = await admin.call("PUT", f"{V2}/w", shown.body)
    again = await admin.call("PUT", f"{V2}/w", migrated.body)
    assert shown["metadata"]["resourceVersion"] != migrated["metadata"]["resourceVersion"]
    assert migrated["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    group = next(one for one in (await admin.get("/apis"))["groups"] if one["name"] == "example.com")
    assert [one["version"] for one in group["versions"]] == ["v2", "v1"]


async def test_a_version_that_is_served_no_longer(admin: Client) -> None:
    """A version goes when its flag is taken, and the others stay."""
    versions = [version("v1"), version("v2", storage=False)]
    await establish(admin, definition("Widget", *versions))
    body = {"spec": {"versions": [versions[0], {**versions[1], "served": False}]}}
    await admin.call("PATCH", f"{CRDS}/widgets.example.com", body, type="application/merge-patch+json")
    assert ((await admin.get(V1)).code, (await admin.get(V2)).code) == (200, 404)


async def test_a_webhook_converts(cluster: Cluster, admin: Client) -> None:
    """Reads, lists, writes and watches go through the webhook where versions differ."""
    async with converting(cluster, host_and_port) as config:
        await establish(admin, converted_definition(config))
        made = await admin.post(
            V2, widget("two", api_version="example.com/v2", spec={"host": "h", "port": "1"})
        )
        assert (made.code, made["spec"]) == (201, {"host": "h", "port": "1"})
        assert (await admin.get(f"{V1}/two"))["spec"] == {"hostPort": "h:1"}
        await admin.post(V1, widget("one", spec={"hostPort": "g:2"}))
        listed = await admin.get(V2)
        assert [one["spec"] for one in listed["items"]] == [
            {"host": "g", "port": "2"},
            {"host": "h", "port": "1"},
        ]
        body = {"spec": {"port": "3"}}
        patched = await admin.call("PATCH", f"{V2}/one", body, type="application/merge-patch+json")
        assert (patched.code, patched["spec"]) == (200, {"host": "g", "port": "3"})
        assert (await admin.get(f"{V1}/one"))["spec"] == {"hostPort": "g:3"}
        watched = await events(admin, f"{V2}?watch=true", 2)
        assert sorted(one["object"]["spec"]["host"] for one in watched) == ["g", "h"]


WRONG: dict[str, tuple[Any, str]] = {
    "failure": (
        lambda request: {"result": {"status": "Failed", "message": "no such luck"}},
        "conversion webhook for example.com/v1, Kind=Widget failed: no such luck",
    ),
    "too few": (
        lambda request: {"convertedObjects": []},
        "conversion webhook for example.com/v1, Kind=Widget returned 0 objects, expected 1",
    ),
    "another version": (
        lambda request: {"convertedObjects": request["objects"]},
        "invalid groupVersion (expected example.com/v2, received example.com/v1)",
    ),
    "another name": (
        lambda request: {
            "convertedObjects": [
                {**obj, "apiVersion": "example.com/v2", "metadata": {**obj["metadata"], "name": "x"}}
                for obj in request["objects"]
            ]
        },
        "must have the same name: w != x",
    ),
    "another uid": (lambda request: {"uid": "x"}, "expected response.uid="),
}


@pytest.mark.parametrize(("answer", "expected"), WRONG.values(), ids=WRONG)
async def test_wrong_conversions_are_refused(
    cluster: Cluster, admin: Client, answer: Any, expected: str
) -> None:
    """An answer that changes what it may not is told, and the stored version stays readable."""
    async with converting(cluster, answer) as config:
        await establish(admin, converted_definition(config))
        assert (await admin.post(V1, widget(spec={"hostPort": "a:1"}))).code == 201
        refused = await admin.get(f"{V2}/w")
        assert (refused.code, expected in refused["message"]) == (500, True)
        assert (await admin.get(f"{V1}/w")).code == 200


async def test_a_webhook_may_change_labels_alone_of_the_metadata(cluster: Cluster, admin: Client) -> None:
    """Labels and annotations of an answer are taken, the rest of its metadata is not."""

    def answer(request: Json) -> Json:
        made = host_and_port(request)["convertedObjects"]
        for obj in made:
            obj["metadata"] = {**obj["metadata"], "labels": {"by": "webhook"}, "finalizers": ["example.com/x"]}
        return {"convertedObjects": made}

    async with converting(cluster, answer) as config:
        await establish(admin, converted_definition(config))
        await admin.post(V1, widget(spec={"hostPort": "a:1"}))
        found = (await admin.get(f"{V2}/w"))["metadata"]
        assert (found["labels"], "finalizers" in found) == ({"by": "webhook"}, False)


async def test_conversion_is_judged_when_it_is_defined(admin: Client) -> None:
    """What a definition must say of its webhook is told in upstream's words."""
    refused = await admin.post(CRDS, definition(conversion={"strategy": "Webhook"}))
    assert [one["field"] for one in refused["details"]["causes"]] == [
        "spec.conversion.webhookClientConfig",
        "spec.conversion.conversionReviewVersions",
    ]


async def test_instances_that_cannot_be_removed(cluster: Cluster, admin: Client) -> None:
    """Where the webhook that must convert the instances is gone, the definition stays and tells why, once."""
    async with converting(cluster, host_and_port) as config:
        made = await establish(admin, converted_definition(config))
        await admin.post(V1, widget(spec={"hostPort": "a:1"}))
        made["metadata"].pop("managedFields")
        for one in made["spec"]["versions"]:
            one["storage"] = one["name"] == "v2"
        answer = await admin.call("PUT", f"{CRDS}/widgets.example.com", made)
        assert answer.code == 200, answer.body
    await admin.call("DELETE", f"{CRDS}/widgets.example.com")
    path = f"{CRDS}?watch=true&fieldSelector=metadata.name%3Dwidgets.example.com"
    async with asyncio.timeout(10), admin.request("GET", path) as response:
        async for line in response.content:
            crd = orjson.loads(line)["object"]
            found = {one["type"]: one for one in crd["status"]["conditions"]}["Terminating"]
            if found["reason"] == "InstanceDeletionFailed":
                break
    assert (found["status"], found["message"].partition(": ")[0]) == ("True", "could not list instances")
    later = [await admin.get(f"{CRDS}/widgets.example.com") for _ in range(30)]
    written = crd["metadata"]["resourceVersion"]
    assert {answer["metadata"]["resourceVersion"] for answer in later} == {written}
