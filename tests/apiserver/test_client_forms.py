"""What clients ask for beyond plain objects: Tables of parts, bookmarks in any form, legible JSON, bindings."""

import json
from typing import Any

import pytest
from api_cluster import Client

from minikube_py.kinds.core.endpoints import Endpoints

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
ENDPOINTS = "/api/v1/namespaces/default/endpoints"
FORM = "application/json;as={};v=v1;g=meta.k8s.io"
WATCH_LIST = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


@pytest.fixture
async def deployment(admin: Client) -> None:
    """The Deployment default/web of two replicas."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    await admin.post(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})


@pytest.mark.usefixtures("deployment")
@pytest.mark.parametrize(
    ("part", "columns", "cells"),
    [
        ("status", ["Name", "Ready", "Up-to-date", "Available"], ["web", "0/2", 0, 0]),
        ("scale", ["Name", "Desired", "Available", "Age"], ["web", 2, 0]),
    ],
)
async def test_tables_of_subresources(admin: Client, part: str, columns: list[str], cells: list[Any]) -> None:
    """The status of an object is shown as the object is, its scale in columns of its own."""
    table = await admin.get(f"{DEPLOYMENTS}/web/{part}", Accept=FORM.format("Table"))
    found = [column["name"] for column in table["columnDefinitions"]]
    assert (found[: len(columns)], table["rows"][0]["cells"][: len(cells)]) == (columns, cells)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "ConfigMap"),
        (FORM.format("PartialObjectMetadata"), "PartialObjectMetadata"),
        (FORM.format("Table"), "Table"),
    ],
)
async def test_bookmarks_have_the_form_of_the_events(admin: Client, accept: str, kind: str) -> None:
    """Every event of a watch, bookmarks too, is of the form that the client asked for."""
    async with admin.request("GET", f"{CONFIG_MAPS}?{WATCH_LIST}", headers={"Accept": accept}) as response:
        added = json.loads(await response.content.readline())
        bookmark = json.loads(await response.content.readline())
    assert [event["type"] for event in (added, bookmark)] == ["ADDED", "BOOKMARK"]
    assert [event["object"]["kind"] for event in (added, bookmark)] == [kind, kind]
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(
    ("query", "agent", "expected"),
    [
        ("", "Go-http-client/1.1", False),
        ("?pretty=true", "Go-http-client/1.1", True),
        ("", "curl/8.0", True),
        ("?pretty=false", "curl/8.0", False),
    ],
)
@pytest.mark.parametrize("path", [CONFIG_MAPS, f"{CONFIG_MAPS}/kube-root-ca.crt"])
async def test_legible_json(admin: Client, path: str, query: str, agent: str, expected: bool) -> None:
    """People get indented JSON, and whoever asks for it."""
    async with admin.request("GET", path + query, headers={"User-Agent": agent}) as response:
        body = await response.read()
    assert body.startswith(b'{\n  "') is expected


async def test_binding_of_a_namespace(admin: Client) -> None:
    """A Binding posted to its namespace binds the pod that it names."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await admin.post(PODS, pod)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    made = await admin.post("/api/v1/namespaces/default/bindings", binding)
    bound = await admin.get(f"{PODS}/p")
    assert (made.code, made["status"], bound["spec"]["nodeName"]) == (201, "Success", "n")


async def test_the_use_of_endpoints_is_warned_of(admin: Client) -> None:
    """Whatever is asked of a deprecated kind, the answer warns."""
    answers = [
        await admin.get(ENDPOINTS),
        await admin.post(ENDPOINTS, {"metadata": {"name": "e"}}),
        await admin.get(f"{ENDPOINTS}/e"),
    ]
    async with admin.request("GET", f"{ENDPOINTS}?watch=1") as watch:
        told = [answer.headers.get("Warning") for answer in (*answers, watch)]
    assert told == [f'299 - "{Endpoints.deprecation}"'] * 4


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("timeoutSeconds=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        (
            "sendInitialEvents=true",
            422,
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is '
            "forbidden for list",
        ),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch '
            '"exact" is forbidden for resourceVersion "0"',
        ),
    ],
)
async def test_options_that_a_list_does_not_take(admin: Client, query: str, code: int, message: str) -> None:
    """A list refuses what it cannot mean, naming the option."""
    refused = await admin.get(f"{CONFIG_MAPS}?{query}")
    assert (refused.code, refused["message"]) == (code, message)
