"""The verbs over HTTPS as clients use them: create, get, list, watch, update, patch, delete, subresources."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from api_cluster import Client, Cluster

from minikube_py.apiserver import responses
from minikube_py.registry.recent import KEPT

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"is": name}}, "data": data}


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    """The events of a watch."""
    async for line in response.content:
        yield json.loads(line)


async def test_object_life(admin: Client) -> None:
    """An object is created, read, updated, patched and deleted; each answer is what is stored."""
    made = await admin.post(CONFIG_MAPS, config_map("x", a="1"))
    read = await admin.get(f"{CONFIG_MAPS}/x")
    assert (made.code, read.body, read["kind"], read["apiVersion"]) == (201, made.body, "ConfigMap", "v1")
    updated = await admin.call("PUT", f"{CONFIG_MAPS}/x", made.body | {"data": {"a": "2"}})
    assert (updated.code, updated["data"]) == (200, {"a": "2"})
    patched = await admin.call(
        "PATCH", f"{CONFIG_MAPS}/x", {"data": {"b": "3"}}, type="application/merge-patch+json"
    )
    assert (patched.code, patched["data"]) == (200, {"a": "2", "b": "3"})
    gone = await admin.call("DELETE", f"{CONFIG_MAPS}/x")
    details = {"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (gone.code, gone["status"], gone["details"]) == (200, "Success", details)
    assert (await admin.get(f"{CONFIG_MAPS}/x")).code == 404


async def test_yaml_body_and_answer(admin: Client) -> None:
    """YAML is taken and given."""
    body = b"kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: x\ndata:\n  a: 'yes'\n"
    made = await admin.call("POST", CONFIG_MAPS, body, type="application/yaml")
    read = await admin.get(f"{CONFIG_MAPS}/x", Accept="application/yaml")
    assert (made["data"], 'data:\n  a: "yes"\n' in read.body) == ({"a": "yes"}, True)


async def test_apply_creates_and_conflicts(admin: Client) -> None:
    """Server-side apply answers 201 where it creates; a field of another manager is a conflict."""

    async def apply(manager: str, value: str, **more: str) -> Any:
        options = "".join(f"&{key}={value}" for key, value in more.items())
        body = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {{a: '{value}'}}\n".encode()
        path = f"{CONFIG_MAPS}/x?fieldManager={manager}{options}"
        return await admin.call("PATCH", path, body, type="application/apply-patch+yaml")

    codes = [(await apply("one", "1")).code, (await apply("two", "2")).code]
    forced = await apply("two", "2", force="true")
    assert (codes, forced.code, forced["data"]) == ([201, 409], 200, {"a": "2"})


async def test_dry_run_stores_nothing(cluster: Cluster, admin: Client) -> None:
    """A dry run answers as if, and stores nothing."""
    before = cluster.registry.revision
    made = await admin.post(f"{CONFIG_MAPS}?dryRun=All", config_map("x"))
    assert (made.code, cluster.registry.revision) == (201, before)


async def test_warning_header(admin: Client) -> None:
    """Unknown fields are warned of unless asked otherwise."""
    made = await admin.post(CONFIG_MAPS, config_map("x") | {"foo": 1})
    quiet = await admin.post(f"{CONFIG_MAPS}?fieldValidation=Ignore", config_map("y") | {"foo": 1})
    assert made.headers.getall("Warning") == ['299 - "unknown field \\"foo\\""']
    assert (quiet.code, quiet.headers.getall("Warning", [])) == (201, [])


async def test_list_in_pages(admin: Client) -> None:
    """limit and continue give all objects once, at one resourceVersion."""
    for name in "abcde":
        await admin.post(CONFIG_MAPS, config_map(name))
    first = await admin.get(f"{CONFIG_MAPS}?limit=2")
    token, version = first["metadata"]["continue"], first["metadata"]["resourceVersion"]
    await admin.post(CONFIG_MAPS, config_map("bb"))
    rest = await admin.get(f"{CONFIG_MAPS}?limit=10&continue={token}")
    names = [item["metadata"]["name"] for item in first["items"] + rest["items"]]
    assert names == ["a", "b", "c", "d", "e", "kube-root-ca.crt"]
    assert (first["metadata"]["remainingItemCount"], rest["metadata"]["resourceVersion"]) == (4, version)


async def test_list_selected(admin: Client) -> None:
    """Label and field selectors choose."""
    for name in "abc":
        await admin.post(CONFIG_MAPS, config_map(name))
    by_label = await admin.get(f"{CONFIG_MAPS}?labelSelector=is%20in%20(a,c)")
    by_field = await admin.get(
        f"{CONFIG_MAPS}?fieldSelector=metadata.name%21%3Da,metadata.name%21%3Dkube-root-ca.crt"
    )
    found = [[item["metadata"]["name"] for item in answer["items"]] for answer in (by_label, by_field)]
    assert (found, by_label["kind"]) == ([["a", "c"], ["b", "c"]], "ConfigMapList")


async def test_large_list_is_whole_in_pieces_and_compressed(admin: Client) -> None:
    """A list above the size of one piece is the same plain, in pieces, and compressed."""
    for number in range(6):
        await admin.post(CONFIG_MAPS, config_map(f"m{number}", text="x" * 60_000))
    plain = await admin.get(CONFIG_MAPS, Accept_Encoding="identity")
    async with admin.request("GET", CONFIG_MAPS, headers={"Accept-Encoding": "gzip"}) as response:
        packed = await response.json()
        encoding = response.headers["Content-Encoding"]
    assert (len(plain["items"]), packed == plain.body, encoding) == (7, True, "gzip")


async def test_table_and_metadata(admin: Client) -> None:
    """Objects, lists and watches come as tables or as metadata where asked."""
    await admin.post(CONFIG_MAPS, config_map("x", a="1"))
    table = await admin.get(CONFIG_MAPS, Accept=TABLE)
    one = await admin.get(f"{CONFIG_MAPS}/x", Accept=TABLE)
    metadata = await admin.get(f"{CONFIG_MAPS}/x", Accept=PARTIAL)
    assert [table["kind"], [row["cells"][:2] for row in table["rows"]]] == [
        "Table",
        [["kube-root-ca.crt", 1], ["x", 1]],
    ]
    assert [row["cells"][0] for row in one["rows"]] == ["x"]
    assert (metadata["kind"], "data" in metadata.body) == ("PartialObjectMetadata", False)


async def test_watch_from_a_revision(admin: Client) -> None:
    """A watch gives what happened after the list, in order, and ends after timeoutSeconds."""
    version = (await admin.get(CONFIG_MAPS))["metadata"]["resourceVersion"]
    await admin.post(CONFIG_MAPS, config_map("x"))
    async with admin.request(
        "GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1"
    ) as response:
        await admin.call("DELETE", f"{CONFIG_MAPS}/x")
        await admin.post("/api/v1/namespaces/kube-public/configmaps", config_map("elsewhere"))
        seen = [(event["type"], event["object"]["metadata"]["name"]) async for event in lines(response)]
    assert seen == [("ADDED", "x"), ("DELETED", "x")]


async def test_watch_list_begins_with_what_is_there(admin: Client) -> None:
    """sendInitialEvents gives the objects and then a bookmark that says so."""
    options = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with admin.request("GET", f"{CONFIG_MAPS}?{options}") as response:
        first, second = [event async for event in take(lines(response), 2)]
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "kube-root-ca.crt")
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def take(source: AsyncIterator[Any], number: int) -> AsyncIterator[Any]:
    """The first items of a stream."""
    async for item in source:
        yield item
        number -= 1
        if not number:
            return


async def test_watch_of_a_compacted_revision(cluster: Cluster, admin: Client) -> None:
    """A watch from a forgotten revision is answered by an ERROR event of code 410."""
    for number in range(KEPT + 1):
        await admin.post(CONFIG_MAPS, config_map(f"x{number}"))
    await cluster.registry.store.compact(cluster.registry.revision)
    async with admin.request("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion=1") as response:
        events = [event async for event in lines(response)]
    assert [(response.status, event["type"], event["object"]["code"]) for event in events] == [
        (200, "ERROR", 410)
    ]


async def test_watch_as_table(admin: Client) -> None:
    """Events of a table watch carry one row each."""
    async with admin.request("GET", f"{CONFIG_MAPS}?watch=1", headers={"Accept": TABLE}) as response:
        (event,) = [event async for event in take(lines(response), 1)]
    assert (event["object"]["kind"], event["object"]["rows"][0]["cells"][0]) == ("Table", "kube-root-ca.crt")


async def test_watch_ends_when_the_client_leaves(cluster: Cluster, admin: Client) -> None:
    """A watch whose client is gone is closed at once, idle or not."""
    gone = asyncio.Event()
    async with admin.request("GET", f"{CONFIG_MAPS}?watch=1") as response:
        await anext(lines(response))
        (watcher,) = cluster.server._watches._open
        before = len(cluster.server._watches)
        assert watcher.woken is not None
        watcher.woken.add_done_callback(lambda _: gone.set())
        response.close()
    await asyncio.wait_for(gone.wait(), 5)
    assert (before, len(cluster.server._watches)) == (1, 0)


async def test_delete_collection(admin: Client) -> None:
    """The selected objects are deleted and listed."""
    for name in "abc":
        await admin.post(CONFIG_MAPS, config_map(name))
    answer = await admin.call("DELETE", f"{CONFIG_MAPS}?labelSelector=is%20in%20(a,b)")
    left = await admin.get(CONFIG_MAPS)
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    assert [item["metadata"]["name"] for item in left["items"]] == ["c", "kube-root-ca.crt"]


async def test_status_and_scale(admin: Client) -> None:
    """Subresources change their part only."""
    path = "/apis/apps/v1/namespaces/default/deployments"
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    made = await admin.post(path, {"metadata": {"name": "x"}, "spec": spec})
    status = await admin.call("PUT", f"{path}/x/status", made.body | {"spec": {}, "status": {"replicas": 1}})
    scale = await admin.get(f"{path}/x/scale")
    scaled = await admin.call(
        "PATCH", f"{path}/x/scale", {"spec": {"replicas": 5}}, type="application/merge-patch+json"
    )
    after = await admin.get(f"{path}/x")
    assert (status["spec"]["replicas"], status["status"]) == (2, {"replicas": 1})
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=x")
    assert (scaled["spec"], after["spec"]["replicas"], after["status"]) == ({"replicas": 5}, 5, {"replicas": 1})


async def test_binding_and_token(admin: Client) -> None:
    """A pod is bound once; a token is issued for an account."""
    await admin.post(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    bound = [await admin.post(f"{PODS}/p/binding", binding) for _ in range(2)]
    token = await admin.post("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    assert [answer.code for answer in bound] == [201, 409]
    assert (token.code, token["kind"], token["status"]["token"].count(".")) == (201, "TokenRequest", 2)


@pytest.mark.parametrize("path", ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version", "/"])
async def test_documents(admin: Client, path: str) -> None:
    """Discovery, OpenAPI and version are JSON; what carries an ETag is not sent twice."""
    first = await admin.get(path)
    assert (first.code, type(first.body)) == (200, dict)
    if "ETag" in first.headers:
        assert (await admin.get(path, If_None_Match=first.headers["ETag"])).code == 304


def test_gzip_is_a_gzip_member() -> None:
    """What is compressed in pieces is one gzip member of the whole."""
    assert gzip.decompress(responses.gzip([b"a" * 1000, b"b"])) == b"a" * 1000 + b"b"


async def test_what_a_table_carries_must_be_known(admin: Client) -> None:
    """An unknown includeObject is refused, of lists, objects and watches."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    paths = (CONFIG_MAPS, f"{CONFIG_MAPS}/kube-root-ca.crt", f"{CONFIG_MAPS}?watch=true&timeoutSeconds=1")
    queries = (f"{path}{'&' if '?' in path else '?'}includeObject=All" for path in paths)
    found = [await admin.get(query, Accept=accept) for query in queries]
    why = "includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
    told = (400, f"Unable to convert to Table as requested: {why}")
    assert [(answer.code, answer["message"]) for answer in found] == [told] * 3


async def test_propagation_is_told_once(admin: Client) -> None:
    """A deletion that names orphans in both ways is refused."""
    options = {"propagationPolicy": "Orphan", "orphanDependents": True}
    answer = await admin.call("DELETE", f"{CONFIG_MAPS}/kube-root-ca.crt", options)
    why = "orphanDependents and deletionPropagation cannot be both set"
    assert (answer.code, answer["message"]) == (
        422,
        f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": {why}',
    )
