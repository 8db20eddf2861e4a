"""What the audit log holds after requests, and what it never holds."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import yaml
from api_cluster import Cluster, start, stop

from minikube_py.apiserver.audit_log import AuditFile, AuditLog

CANARY = "c4n4ry-5ecret"
PODS = "/api/v1/namespaces/default/pods"


def events(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def audited(folder: Path, rules: list[Any] | None = None, **policy: Any) -> Any:
    """A server with an audit log, and the path of the log."""
    more: dict[str, Path] = {"audit_log": folder / "audit" / "audit.log"}
    if rules is not None:
        more["audit_policy"] = folder / "policy.yaml"
        body = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules, **policy}
        more["audit_policy"].write_text(yaml.safe_dump(body))
    cluster, task = await start(folder, **more)
    return cluster, task, more["audit_log"]


async def test_no_secret_is_told(tmp_path: Path) -> None:
    """By default neither what Secrets hold nor any token is in the log, which is for its owner only."""
    cluster, task, path = await audited(tmp_path)
    admin = cluster.client("admin", "system:masters")
    root = "/api/v1/namespaces/default"
    data = {"stringData": {"k": CANARY}}
    await admin.post(f"{root}/secrets", {"metadata": {"name": "s"}, **data})
    await admin.post(f"{root}/configmaps", {"metadata": {"name": "c"}, "data": {"k": CANARY}})
    await admin.call("PATCH", f"{root}/secrets/s", data, type="application/merge-patch+json")
    await admin.get(f"{root}/secrets/s")
    await admin.get(f"{root}/secrets")
    made = await admin.post(f"{root}/serviceaccounts/default/token", {"spec": {}})
    token = made["status"]["token"]
    await admin.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    await cluster.client().get("/version", Authorization=f"Bearer {token}")
    await cluster.client().get("/api", Authorization=f"Bearer {CANARY}")
    await stop(cluster, task)
    text = path.read_text()
    assert [CANARY in text, token in text, '"secrets"' in text] == [False, False, True]
    assert os.stat(path).st_mode & 0o777 == 0o600


async def test_what_an_event_tells(tmp_path: Path) -> None:
    """An event says who, what, whence, the outcome and why, with the bodies as the policy wants."""
    rules = [{"level": "RequestResponse", "resources": [{"resources": ["configmaps"]}]}]
    cluster, task, path = await audited(tmp_path, rules, omitManagedFields=True)
    admin = cluster.client("admin", "system:masters")
    made = await admin.post(
        "/api/v1/namespaces/default/configmaps",
        {"metadata": {"name": "c"}, "data": {"a": "b"}},
        Audit_ID="chosen",
        User_Agent="story/1",
        X_Forwarded_For="10.1.1.1",
    )
    await stop(cluster, task)
    received, complete = events(path)
    assert (made.headers["Audit-Id"], received["stage"], complete["stage"]) == (
        "chosen",
        "RequestReceived",
        "ResponseComplete",
    )
    assert {k: complete[k] for k in ("kind", "apiVersion", "level", "auditID", "verb", "requestURI")} == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "chosen",
        "verb": "create",
        "requestURI": "/api/v1/namespaces/default/configmaps",
    }
    assert (complete["sourceIPs"], complete["userAgent"]) == (["10.1.1.1", "127.0.0.1"], "story/1")
    assert complete["user"]["username"] == "admin"
    assert complete["objectRef"] == {
        "resource": "configmaps",
        "namespace": "default",
        "name": "c",
        "apiVersion": "v1",
    }
    assert (complete["responseStatus"]["code"], complete["requestObject"]["data"]) == (201, {"a": "b"})
    assert complete["responseObject"]["metadata"]["name"] == "c"
    assert "managedFields" not in complete["responseObject"]["metadata"]
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert len(complete["stageTimestamp"]) == len("2026-01-01T00:00:00.000000Z")


async def test_refusals_and_impersonation(tmp_path: Path) -> None:
    """The log tells as whom somebody acted, why it was refused or allowed, and of those who did not get in."""
    cluster, task, path = await audited(tmp_path, [{"level": "Metadata"}], omitStages=["RequestReceived"])
    admin = cluster.client("admin", "system:masters")
    await admin.get(PODS, Impersonate_User="jane")
    await cluster.client("bob").get("/api")
    await cluster.client().get(PODS, Authorization="Bearer x")
    await cluster.client().get("/version")
    await stop(cluster, task)
    refused, allowed, started, complete, public = events(path)
    assert (refused["user"]["username"], refused["impersonatedUser"]["username"]) == ("admin", "jane")
    assert refused["annotations"] == {
        "authorization.k8s.io/decision": "forbid",
        "authorization.k8s.io/reason": "",
    }
    assert (refused["responseStatus"]["code"], refused["responseStatus"]["reason"]) == (403, "Forbidden")
    assert allowed["annotations"]["authorization.k8s.io/reason"] == (
        'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group '
        '"system:authenticated"'
    )
    told = "Authentication failed, attempted: bearer"
    assert [(e["stage"], e["user"], e["responseStatus"]["message"]) for e in (started, complete)] == [
        ("ResponseStarted", {}, told),
        ("ResponseComplete", {}, told),
    ]
    assert public["user"]["username"] == "system:anonymous"


async def test_watches_begin_and_end(tmp_path: Path) -> None:
    """A watch is told when it begins, and when it ends."""
    cluster, task, path = await audited(tmp_path, [{"level": "Metadata"}])
    admin = cluster.client("admin", "system:masters")
    answer = await admin.get(f"{PODS}?watch=true&timeoutSeconds=1")
    await stop(cluster, task)
    assert answer.headers["Audit-Id"] == events(path)[0]["auditID"]
    assert [e["stage"] for e in events(path)] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


async def test_every_answer_has_an_id(cluster: Cluster) -> None:
    """Without a log too each answer has an id of its own, and tells where flow control has put it."""
    bob = cluster.client("bob")
    first, second = await bob.get("/api"), await bob.get("/nothing")
    watch = await cluster.client("admin", "system:masters").get(f"{PODS}?watch=true&timeoutSeconds=1")
    ids = {answer.headers["Audit-Id"] for answer in (first, second, watch)}
    levels = {answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] for answer in (first, second, watch)}
    assert (len(ids), len(levels)) == (3, 2)


async def test_rotation(tmp_path: Path) -> None:
    """A full file is put aside and a new one begun; only the newest are kept; nothing is lost between."""
    path = tmp_path / "audit.log"
    log = AuditLog(AuditFile(path, max_bytes=100, max_files=3))
    task = asyncio.create_task(log.run())
    for number in range(30):
        log.write(b'{"n":%02d,"filler":"0123456789012345678"}' % number)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    files = sorted(tmp_path.iterdir())
    kept = [
        json.loads(line)["n"] for file in [*files[:-1], files[-1]] for line in file.read_text().splitlines()
    ]
    assert (len(files), files[-1].name) == (4, "audit.log")
    assert sorted(kept) == list(range(22, 30))
    assert {os.stat(file).st_mode & 0o777 for file in files} == {0o600}
