"""Admission webhooks: a real HTTPS webhook server, configured and felt through the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl
from kubernetes import client as k8s
from kubernetes import config as k8s_config
from webhook_server import Webhooks, deny, patch, serving

Obj = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Webhooks]:
    """A webhook server on loopback."""
    async with serving(tmp_path / "hooks") as made:
        yield made


def webhook(client_config: Obj, name: str = "w.example.com", **more: Any) -> Obj:
    """A webhook for all operations on ConfigMaps."""
    made = {
        "name": name,
        "clientConfig": client_config,
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {**made, **more}


async def configure(admin: Client, kind: str, name: str, *webhooks: Obj) -> None:
    """Create a configuration of `kind` (Mutating or Validating)."""
    body = {"metadata": {"name": name}, "webhooks": list(webhooks)}
    made = await admin.post(f"{REGISTRATION}/{kind.lower()}webhookconfigurations", body)
    assert made.code == 201, made.body


def config_map(name: str = "m", **data: str) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def set_data(key: str, value: str) -> Obj:
    """A patch operation that sets a key of a ConfigMap's data."""
    return {"op": "add", "path": f"/data/{key}", "value": value}


async def test_review_as_it_is_sent(admin: Client, hooks: Webhooks) -> None:
    """The AdmissionReview has every field that webhooks read, and the connection is used again."""
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    await admin.post(MAPS + "?fieldManager=me&fieldValidation=Strict", config_map(a="1"))
    await admin.call("PUT", f"{MAPS}/m", config_map(a="2"))
    await admin.call("DELETE", f"{MAPS}/m")
    create, update, delete = hooks.seen["/v"]
    metadata = create["object"]["metadata"]
    shown = {key: value for key, value in create.items() if key not in ("uid", "object", "userInfo")}
    assert shown == {
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
        "name": "m",
        "namespace": "default",
        "operation": "CREATE",
        "oldObject": None,
        "dryRun": False,
        "options": {
            "kind": "CreateOptions",
            "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me",
            "fieldValidation": "Strict",
        },
    }
    assert (create["object"]["data"], bool(metadata["uid"]), metadata["managedFields"][0]["manager"]) == (
        {"a": "1"},
        True,
        "me",
    )
    assert create["userInfo"]["username"] == "admin"
    assert create["userInfo"]["groups"] == ["system:masters", "system:authenticated"]
    assert (update["operation"], update["oldObject"]["data"], update["object"]["data"]) == (
        "UPDATE",
        {"a": "1"},
        {"a": "2"},
    )
    assert (delete["operation"], delete["object"], delete["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})
    assert delete["options"]["kind"] == "DeleteOptions"
    assert (hooks.requests[0].query_string, len(hooks.connections)) == ("timeout=10s", 1)


@pytest.mark.parametrize(
    "status, code, reason, message",
    [
        ({"message": "not here"}, 400, "", "denied the request: not here"),
        ({"message": "m", "code": 403, "reason": "Forbidden"}, 403, "Forbidden", "denied the request: m"),
        ({"reason": "Because"}, 400, "Because", "denied the request: Because"),
        ({}, 400, "", "denied the request without explanation"),
        ({"code": 200}, 400, "", "denied the request without explanation"),
    ],
)
async def test_denial(
    admin: Client, hooks: Webhooks, status: Obj, code: int, reason: str, message: str
) -> None:
    """A refusal has the webhook's code, reason and words."""
    hooks.answers["/v"] = lambda request: {"allowed": False, "status": dict(status)}
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    answer = await admin.post(MAPS, config_map())
    told = answer["message"].removeprefix('admission webhook "w.example.com" ')
    assert (answer.code, answer["code"], answer.body.get("reason", ""), told) == (code, code, reason, message)
    assert (await admin.get(f"{MAPS}/m")).code == 404


async def test_denial_that_asks_to_come_back(admin: Client, hooks: Webhooks) -> None:
    """A refusal may say when to try again."""
    hooks.answers["/v"] = deny("later", code=429, reason="TooManyRequests", details={"retryAfterSeconds": 7})
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    answer = await admin.post(MAPS, config_map())
    assert (answer.code, answer.headers["Retry-After"], answer["details"]) == (
        429,
        "7",
        {"retryAfterSeconds": 7},
    )


async def test_mutation_order_and_defaults(admin: Client, hooks: Webhooks) -> None:
    """Configurations run by name, webhooks as listed; each sees what the one before made, with its defaults."""
    hooks.answers["/1"] = patch(set_data("one", "1"))
    hooks.answers["/2"] = patch({"op": "test", "path": "/data/one", "value": "1"}, set_data("two", "2"))
    hooks.answers["/3"] = patch({"op": "add", "path": "/metadata/labels", "value": {"three": "3"}})
    await configure(admin, "Mutating", "b", webhook(hooks.url("/3"), "c.example.com"))
    first, second = webhook(hooks.url("/1")), webhook(hooks.url("/2"), "b.example.com")
    await configure(admin, "Mutating", "a", first, second)
    made = await admin.post(MAPS, config_map(zero="0"))
    assert (made["data"], made["metadata"]["labels"]) == (
        {"zero": "0", "one": "1", "two": "2"},
        {"three": "3"},
    )
    assert list(hooks.seen) == ["/1", "/2", "/3"]


async def test_reinvocation(admin: Client, hooks: Webhooks) -> None:
    """Webhooks that ask for it see once more what others changed after them; the rest are asked once."""
    hooks.answers["/first"] = lambda request: (
        patch(set_data("seen", "1"))(request) if request["object"]["data"].get("late") else {"allowed": True}
    )
    hooks.answers["/late"] = patch(set_data("late", "1"))
    once = webhook(hooks.url("/once"), "once.example.com")
    again = webhook(hooks.url("/first"), "first.example.com", reinvocationPolicy="IfNeeded")
    late = webhook(hooks.url("/late"), "late.example.com", reinvocationPolicy="IfNeeded")
    await configure(admin, "Mutating", "m", once, again, late)
    made = await admin.post(MAPS, config_map(a="1"))
    asked = {path: len(seen) for path, seen in hooks.seen.items()}
    assert (made["data"], asked) == (
        {"a": "1", "late": "1", "seen": "1"},
        {"/once": 1, "/first": 2, "/late": 2},
    )


async def test_in_tree_plugins_complete_what_a_webhook_adds(admin: Client, hooks: Webhooks) -> None:
    """A container injected by a webhook has its defaults, and the account's token like the others."""
    sidecar = {"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "s:1"}}
    hooks.answers["/inject"] = lambda request: (
        patch(sidecar)(request) if len(request["object"]["spec"]["containers"]) == 1 else {"allowed": True}
    )
    rule = {**RULE, "operations": ["CREATE"], "resources": ["pods"]}
    await configure(admin, "Mutating", "m", webhook(hooks.url("/inject"), rules=[rule]))
    await admin.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await admin.post("/api/v1/namespaces/default/pods", body)
    main, side = made["spec"]["containers"]
    assert side["imagePullPolicy"] == "IfNotPresent"
    assert [m["mountPath"] for m in side["volumeMounts"]] == [m["mountPath"] for m in main["volumeMounts"]]


@pytest.mark.parametrize("policy, code", [("Fail", 500), ("Ignore", 201)])
@pytest.mark.parametrize(
    "path, told",
    [
        ("/broken", 'an error on the server ("boom") has prevented the request from succeeding'),
        ("/redirect", "the server responded with the status code 302 but did not return more information"),
        ("/slow", 'Post "https://127.0.0.1:PORT/slow?timeout=1s": context deadline exceeded'),
    ],
)
async def test_failure_policy(
    admin: Client, hooks: Webhooks, policy: str, code: int, path: str, told: str
) -> None:
    """A webhook that fails stops the request, or not, as its policy says."""
    failing = webhook(hooks.url(path), failurePolicy=policy, timeoutSeconds=1)
    await configure(admin, "Validating", "v", failing)
    made = await admin.post(MAPS, config_map())
    assert made.code == code
    if code == 500:
        told = told.replace("PORT", str(hooks.port))
        why = f'failed calling webhook "w.example.com": failed to call webhook: {told}'
        assert (made["message"], made["reason"]) == (f"Internal error occurred: {why}", "InternalError")
        assert [cause["message"] for cause in made["details"]["causes"]] == [why]


@pytest.mark.parametrize(
    "answer, told",
    [
        ({"uid": "x"}, 'expected response.uid="UID", got "x"'),
        ({"review": {"apiVersion": "a/v1"}}, "got a/v1, Kind=AdmissionReview"),
        ({"review": {"response": None}}, "webhook response was absent"),
        ({"patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ({"patch": "e30=", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
    ],
)
async def test_bad_answers(admin: Client, hooks: Webhooks, answer: Obj, told: str) -> None:
    """An answer that breaks the contract is a failed call."""
    hooks.answers["/m"] = lambda request: {"allowed": True, **answer}
    await configure(admin, "Mutating", "m", webhook(hooks.url("/m")))
    made = await admin.post(MAPS, config_map())
    uid = hooks.seen["/m"][0]["uid"]
    assert (made.code, told.replace("UID", uid) in made["message"]) == (500, True), made["message"]


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ({"op": "remove", "path": "/data/x"}, "Unable to remove nonexistent key: x"),
        (
            {"op": "add", "path": "/data", "value": {"x": 5}},
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
    ],
)
async def test_patch_that_does_not_apply(admin: Client, hooks: Webhooks, operation: Obj, why: str) -> None:
    """A patch that does not fit is an internal error that says what is wrong, whatever the failure policy."""
    hooks.answers["/m"] = patch(operation)
    await configure(admin, "Mutating", "m", webhook(hooks.url("/m"), failurePolicy="Ignore"))
    made = await admin.post(MAPS, config_map(a="b"))
    before, _, told = made["message"].partition(why)
    assert (made.code, told) == (500, "")
    assert before in ("Internal error occurred: ", "Internal error occurred: remove operation does not apply: ")


async def test_dry_run_and_side_effects(admin: Client, hooks: Webhooks) -> None:
    """A dry run is shown to webhooks without side effects, and refused for the sake of others."""
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    made = await admin.post(f"{MAPS}?dryRun=All", config_map())
    assert (made.code, hooks.seen["/v"][0]["dryRun"], hooks.seen["/v"][0]["options"]["dryRun"]) == (
        201,
        True,
        ["All"],
    )


async def test_warnings_and_selectors(admin: Client, hooks: Webhooks) -> None:
    """Warnings reach the client; selectors on the object, old or new, choose what is asked about."""
    hooks.answers["/v"] = lambda request: {"allowed": True, "warnings": ["mind the gap"]}
    selector = {"matchLabels": {"app": "x"}}
    await configure(admin, "Validating", "v", webhook(hooks.url("/v"), objectSelector=selector))
    plain = await admin.post(MAPS, config_map("plain"))
    chosen = config_map("chosen")
    chosen["metadata"]["labels"] = {"app": "x"}
    warned = await admin.post(MAPS, chosen)
    old = await admin.call("PUT", f"{MAPS}/chosen", config_map("chosen"))
    assert [answer.headers.get("Warning") for answer in (plain, warned, old)] == [
        None,
        '299 - "mind the gap"',
        '299 - "mind the gap"',
    ]
    assert [asked["name"] for asked in hooks.seen["/v"]] == ["chosen", "chosen"]


async def test_validating_webhooks_run_at_once(admin: Client, hooks: Webhooks) -> None:
    """Three webhooks that wait for each other are all asked at the same time."""
    arrived = asyncio.Barrier(3)
    serve = hooks.serve

    async def waiting(request: Any) -> Any:
        await arrived.wait()
        return await serve(request)

    hooks.serve = waiting  # type: ignore[method-assign]
    made = [webhook(hooks.url(f"/{n}"), f"{n}.example.com", timeoutSeconds=5) for n in "abc"]
    await configure(admin, "Validating", "v", *made)
    hooks.serve = serve  # type: ignore[method-assign]
    assert (await admin.post(MAPS, config_map())).code == 201


async def test_no_webhook_for_configurations(admin: Client, hooks: Webhooks) -> None:
    """A webhook for everything that refuses everything can still be removed."""
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    hooks.answers["/v"] = deny()
    await configure(admin, "Validating", "v", webhook(hooks.url("/v"), rules=[everything]))
    refused = await admin.post(MAPS, config_map())
    removed = await admin.call("DELETE", f"{REGISTRATION}/validatingwebhookconfigurations/v")
    assert (refused.code, removed.code, (await admin.post(MAPS, config_map())).code) == (400, 200, 201)


async def test_deletecollection_and_subresources(admin: Client, hooks: Webhooks) -> None:
    """Each object of a collection is asked about; subresources only where a rule names them."""
    rules = [
        {**RULE, "operations": ["DELETE"]},
        {
            "operations": ["UPDATE"],
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "resources": ["deployments/scale"],
        },
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction"]},
    ]
    await configure(admin, "Validating", "v", webhook(hooks.url("/v"), rules=rules))
    for name in "ab":
        await admin.post(MAPS, config_map(name))
    await admin.call("DELETE", MAPS)
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    await admin.post(deployments, {"metadata": {"name": "d"}, "spec": spec})
    await admin.call(
        "PATCH", f"{deployments}/d/scale", {"spec": {"replicas": 3}}, type="application/merge-patch+json"
    )
    *deleted, scale = hooks.seen["/v"]
    assert sorted(asked["name"] for asked in deleted if "." not in asked["name"]) == ["a", "b"]
    assert (
        scale["kind"]["kind"],
        scale["subResource"],
        scale["object"]["spec"],
        scale["oldObject"]["spec"],
    ) == (
        "Scale",
        "scale",
        {"replicas": 3},
        {"replicas": 1},
    )


async def test_kubectl_sees_denial(kubectl: Kubectl, admin: Client, hooks: Webhooks) -> None:
    """kubectl shows people the webhook's own words."""
    hooks.answers["/v"] = deny("colour must be blue", code=403, reason="Forbidden")
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    refused = await kubectl("create", "configmap", "m", check=False)
    want = 'admission webhook "w.example.com" denied the request: colour must be blue'
    assert (refused.code, want in refused.stderr) == (1, True)


async def test_python_client_sees_denial(cluster: Cluster, admin: Client, hooks: Webhooks) -> None:
    """The public Python client raises the webhook's code and words, and sees what another one changed."""
    hooks.answers["/m"] = patch(set_data("added", "yes"))
    hooks.answers["/v"] = lambda request: (
        deny("no red", code=403, reason="Forbidden")(request)
        if request["object"]["data"].get("colour") == "red"
        else {"allowed": True}
    )
    await configure(admin, "Mutating", "m", webhook(hooks.url("/m")))
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    config = cluster.kubeconfig("python-admin", "system:masters")

    def use() -> tuple[Obj, tuple[int, str]]:
        with k8s_config.new_client_from_config(str(config)) as connection:
            core = k8s.CoreV1Api(connection)
            made = core.create_namespaced_config_map("default", config_map("blue", colour="blue"))
            try:
                core.create_namespaced_config_map("default", config_map("red", colour="red"))
            except k8s.ApiException as error:
                told = (error.status, json.loads(error.body)["message"])
            connection.rest_client.pool_manager.clear()
            return made.data, told

    data, refused = await asyncio.to_thread(use)
    want = 'admission webhook "w.example.com" denied the request: no red'
    assert data == {"colour": "blue", "added": "yes"}
    assert refused == (403, want)


async def test_metrics(cluster: Cluster, admin: Client, hooks: Webhooks) -> None:
    """Calls and rejections are counted by webhook."""
    hooks.answers["/v"] = deny(code=403)
    await configure(admin, "Validating", "v", webhook(hooks.url("/v")))
    await admin.post(MAPS, config_map())
    page = (await admin.get("/metrics")).body
    labels = (
        'error_type="no_error",name="w.example.com",operation="CREATE",rejection_code="403",type="validating"'
    )
    assert f"apiserver_admission_webhook_rejection_count{{{labels}}} 1" in page
    assert 'duration_seconds_count{name="w.example.com",operation="CREATE",rejected="true"' in page
