"""What lists, watches, deletions and updates answer to their options, in Kubernetes' words."""

import json
from typing import Any

import pytest
from api_cluster import Client, Cluster

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LIST = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden"
INITIAL = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"

OPTIONS: list[tuple[str, int, str]] = [
    ("resourceVersionMatch=Exact", 422, f"{LIST}{MATCH} unless resourceVersion is provided"),
    (
        "resourceVersionMatch=Exact&resourceVersion=0",
        422,
        f'{LIST}resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for '
        'resourceVersion "0"',
    ),
    (
        "resourceVersionMatch=x&resourceVersion=1",
        422,
        f'{LIST}resourceVersionMatch: Unsupported value: "x": supported values: "Exact", "NotOlderThan", ""',
    ),
    (
        "sendInitialEvents=true",
        422,
        f"{LIST}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    ),
    ("resourceVersion=99999999", 504, "Timeout: Too large resource version: 99999999, current: "),
    ("continue=x", 400, "invalid continue token: continue key is not valid: "),
    ("watch=1&sendInitialEvents=true", 422, f"{LIST}resourceVersionMatch: Forbidden: {INITIAL}"),
    ("watch=1&sendInitialEvents=false", 422, f"{LIST}resourceVersionMatch: Forbidden: {INITIAL}"),
    (
        "watch=1&resourceVersionMatch=NotOlderThan",
        422,
        f"{LIST}{MATCH} for watch unless sendInitialEvents is provided",
    ),
]


@pytest.mark.parametrize(("query", "code", "message"), OPTIONS, ids=[one[0] for one in OPTIONS])
async def test_refused_options(admin: Client, query: str, code: int, message: str) -> None:
    """Options that contradict each other are refused, and so is a revision that is not reached."""
    answer = await admin.get(f"{CONFIG_MAPS}?{query}")
    assert (answer.code, answer["message"][: len(message)]) == (code, message)


async def test_pages_expire_into_a_usable_token(cluster: Cluster, admin: Client) -> None:
    """A token whose snapshot is gone is answered with 410 and one that goes on with the present objects."""
    for name in "abc":
        await admin.post(CONFIG_MAPS, {"metadata": {"name": name}})
    page = await admin.get(f"{CONFIG_MAPS}?limit=1")
    assert [one["metadata"]["name"] for one in page["items"]] == ["a"]
    assert page["metadata"]["remainingItemCount"] == 3  # the root CA's ConfigMap is one of them
    await admin.post(CONFIG_MAPS, {"metadata": {"name": "bb"}})
    await cluster.registry.store.compact(cluster.registry.revision)
    gone = await admin.get(f"{CONFIG_MAPS}?limit=9&continue={page['metadata']['continue']}")
    assert (gone.code, gone["reason"]) == (410, "Expired")
    rest = await admin.get(f"{CONFIG_MAPS}?limit=9&continue={gone['metadata']['continue']}")
    names = [one["metadata"]["name"] for one in rest["items"]]
    assert names == ["b", "bb", "c", "kube-root-ca.crt"]


async def events(admin: Client, query: str, count: int, meanwhile: Any = None) -> list[Any]:
    """The first events of a watch; `meanwhile` is awaited once it has begun."""
    async with admin.request("GET", f"{CONFIG_MAPS}?watch=1&{query}") as response:
        if meanwhile is not None:
            await meanwhile
        return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_a_watch_of_the_future_waits(cluster: Cluster, admin: Client) -> None:
    """What happens up to a revision that is not reached yet is not told."""
    future = cluster.registry.revision + 1

    async def change() -> None:
        for name in "ab":
            await admin.post(CONFIG_MAPS, {"metadata": {"name": name}})

    (event,) = await events(admin, f"resourceVersion={future}", 1, change())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")


async def test_no_initial_events(admin: Client) -> None:
    """sendInitialEvents=false begins with what happens now."""
    await admin.post(CONFIG_MAPS, {"metadata": {"name": "a"}})
    query = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    (event,) = await events(admin, query, 1, admin.post(CONFIG_MAPS, {"metadata": {"name": "b"}}))
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")


async def test_initial_events_end_with_a_bookmark(admin: Client) -> None:
    """A watch-list tells what there is, then the bookmark that ends it."""
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    added, end = await events(admin, query, 2)
    assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "kube-root-ca.crt")
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_preconditions(admin: Client) -> None:
    """A deletion names the kind, an update the stored key, where the uid is another object's."""
    made = await admin.post(CONFIG_MAPS, {"metadata": {"name": "a"}})
    uid = made["metadata"]["uid"]
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}}
    answer = await admin.call("DELETE", f"{CONFIG_MAPS}/a", body)
    told = f"the UID in the precondition (x) does not match the UID in record ({uid}). "
    assert (answer.code, answer["message"]) == (
        409,
        f'Operation cannot be fulfilled on ConfigMap "a": {told}'
        "The object might have been deleted and then recreated",
    )
    answer = await admin.call("PUT", f"{CONFIG_MAPS}/b", {"metadata": {"name": "b", "uid": "x"}})
    assert (answer.code, answer["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "b": StorageError: invalid object, Code: 4, '
        "Key: /registry/configmaps/default/b, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        "UID in precondition: x, UID in object meta: ",
    )


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b", "the name of the object (b) does not match the name on the URL (a)"),
        (None, "the name of the object (a based on URL) was undeterminable: name must be provided"),
    ],
    ids=["another", "none"],
)
async def test_a_write_does_not_rename(admin: Client, method: str, name: str | None, message: str) -> None:
    """What is written must have the name of the URL."""
    await admin.post(CONFIG_MAPS, {"metadata": {"name": "a"}})
    type = "application/json" if method == "PUT" else "application/merge-patch+json"
    answer = await admin.call(method, f"{CONFIG_MAPS}/a", {"metadata": {"name": name}}, type=type)
    assert (answer.code, answer["message"]) == (400, message)


async def test_a_namespace_in_a_cluster_wide_object_is_dropped(admin: Client) -> None:
    """As charts send it: metadata.namespace of what has none is ignored."""
    body = {"metadata": {"name": "r", "namespace": "default"}}
    answer = await admin.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", body)
    assert (answer.code, answer["metadata"].get("namespace")) == (201, None)


async def test_collections_are_deleted_by_pages(admin: Client) -> None:
    """limit deletes so many, and the answer says how to go on."""
    for name in "abc":
        await admin.post(CONFIG_MAPS, {"metadata": {"name": name, "labels": {"x": "y"}}})
    answer = await admin.call("DELETE", f"{CONFIG_MAPS}?labelSelector=x%3Dy&limit=2")
    assert [one["metadata"]["name"] for one in answer["items"]] == ["a", "b"]
    assert answer["metadata"]["continue"]
    left = await admin.get(f"{CONFIG_MAPS}?labelSelector=x%3Dy")
    assert [one["metadata"]["name"] for one in left["items"]] == ["c"]
