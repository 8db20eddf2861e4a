"""What a webhook is told of a request: the operation, its options, and the version that its rules name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client
from webhook_server import Webhooks, serving

Obj = dict[str, Any]
REGISTRATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
AUTOSCALERS = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V1 = {"group": "autoscaling", "version": "v1", "kind": "HorizontalPodAutoscaler"}
V2 = {**V1, "version": "v2"}
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Webhooks]:
    """A webhook server on loopback."""
    async with serving(tmp_path / "hooks") as made:
        yield made


async def listen(admin: Client, hooks: Webhooks, **rule: Any) -> list[Obj]:
    """Ask the server at /v of what `rule` names; the requests as they come."""
    webhook = {
        "name": "w.example.com",
        "clientConfig": hooks.url("/v"),
        "rules": [{"operations": ["*"], **rule}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    made = await admin.post(REGISTRATION, {"metadata": {"name": "v"}, "webhooks": [webhook]})
    assert made.code == 201, made.body
    return hooks.seen.setdefault("/v", [])


async def test_options_of_each_operation(admin: Client, hooks: Webhooks) -> None:
    """A patch has the options of the operation that it is; what the client did not say is not in them."""
    seen = await listen(admin, hooks, apiGroups=[""], apiVersions=["v1"], resources=["configmaps"])
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    await admin.post(MAPS, {**config, "metadata": {"name": "b"}})
    for value in ("1", "2"):
        await admin.call(
            "PATCH", f"{MAPS}/a?fieldManager=m&force=true", {**config, "data": {"k": value}}, type=APPLY
        )
    await admin.call("PATCH", f"{MAPS}/a?dryRun=All", {"data": {"k": "3"}}, type=MERGE)
    await admin.call("DELETE", f"{MAPS}/a?propagationPolicy=Background")
    version = {"apiVersion": "meta.k8s.io/v1"}
    assert [(one["operation"], one["options"]) for one in seen] == [
        ("CREATE", {**version, "kind": "CreateOptions"}),
        ("CREATE", {**version, "kind": "CreateOptions", "fieldManager": "m"}),
        ("UPDATE", {**version, "kind": "UpdateOptions", "fieldManager": "m"}),
        ("UPDATE", {**version, "kind": "UpdateOptions", "dryRun": ["All"]}),
        ("DELETE", {**version, "kind": "DeleteOptions", "propagationPolicy": "Background"}),
    ]


@pytest.mark.parametrize(("version", "kind"), [("v1", V1), ("v2", V2)])
async def test_objects_in_the_version_of_the_rule(
    admin: Client, hooks: Webhooks, version: str, kind: Obj
) -> None:
    """Objects are shown in the version that the rule names, whichever one the request is in."""
    seen = await listen(
        admin, hooks, apiGroups=["autoscaling"], apiVersions=[version], resources=["horizontalpodautoscalers"]
    )
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 2}
    made = await admin.post(AUTOSCALERS, {"metadata": {"name": "a"}, "spec": spec})
    assert made.code == 201, made.body
    await admin.call("PATCH", f"{AUTOSCALERS}/a", {"spec": {"maxReplicas": 3}}, type=MERGE)
    await admin.call("DELETE", f"{AUTOSCALERS}/a")
    await admin.post(AUTOSCALERS, {"metadata": {"name": "a"}, "spec": spec})
    await admin.call("DELETE", AUTOSCALERS)
    assert [one["operation"] for one in seen] == ["CREATE", "UPDATE", "DELETE", "CREATE", "DELETE"]
    for one in seen:
        shown = [obj["apiVersion"] for obj in (one["object"], one["oldObject"]) if obj is not None]
        assert (one["kind"], one["requestKind"], set(shown)) == (kind, V1, {f"autoscaling/{version}"})
        assert one["requestResource"]["version"] == "v1"
