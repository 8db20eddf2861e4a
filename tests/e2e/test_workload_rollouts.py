"""StatefulSets, DaemonSets, Jobs and CronJobs on real containers, by kubectl."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def template(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """A pod template; without a command the image serves HTTP."""
    container = {"name": "main", "image": "demo:1", **({"command": list(command)} if command else {})}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}
    return {"metadata": {"labels": {"app": name}}, "spec": pod}


def apply(cluster: Cluster, namespace: str, *bodies: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(items))


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": {"app": name}}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {**selector, **spec}}


def test_a_stateful_set_has_names(cluster: Cluster, namespace: str, shell: Callable[..., str]) -> None:
    """Each pod of a StatefulSet is found by its name, also after it was replaced and the set was scaled."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 8080}]},
    }
    body = workload("StatefulSet", "web", serviceName="web", replicas=2, template=template("web"))
    apply(cluster, namespace, service, body)
    cluster.kubectl("rollout", "status", "statefulset/web", "-n", namespace, "--timeout=40s")
    fetch = "for i in 1 2 3 4 5 6 7 8; do wget -qO- http://web-{}.web:8080 && exit; sleep 1; done; exit 1"
    assert shell(fetch.format(1)) == "<h1>built in</h1>\n"
    cluster.kubectl("delete", "pod", "web-1", "-n", namespace)
    cluster.kubectl("rollout", "restart", "statefulset/web", "-n", namespace)
    cluster.kubectl("rollout", "status", "statefulset/web", "-n", namespace, "--timeout=40s")
    assert shell(fetch.format(0)) == "<h1>built in</h1>\n"
    read = ("exec", "web-1", "-n", namespace, "--", "/bin/busybox", "cat", "/etc/hostname")
    assert cluster.kubectl(*read).strip() == "web-1"
    cluster.kubectl("scale", "statefulset/web", "--replicas=1", "-n", namespace)
    cluster.wait("pod/web-1", "delete", "-n", namespace, timeout="20s")


def test_a_daemon_set_is_rolled_back(cluster: Cluster, namespace: str) -> None:
    """A rollout to an image that there is not stops; undo brings the old pods back."""
    apply(
        cluster,
        namespace,
        workload("DaemonSet", "agent", template=template("agent", "/bin/busybox", "sleep", "600")),
    )
    target = ("daemonset/agent", "-n", namespace)
    cluster.kubectl("rollout", "status", *target, "--timeout=30s")
    cluster.kubectl("set", "image", *target, "main=none.invalid/none:1")
    late = cluster.kubectl("rollout", "status", *target, "--timeout=2s", code=1)
    assert "timed out waiting for the condition" in late
    cluster.kubectl("rollout", "undo", *target)
    cluster.kubectl("rollout", "status", *target, "--timeout=30s")
    [pod] = cluster.get("pods", "-n", namespace, "-l", "app=agent")["items"]
    assert pod["spec"]["containers"][0]["image"] == "demo:1"
    assert cluster.kubectl("rollout", "history", *target).split()[-4:] == ["2", "<none>", "3", "<none>"]


def test_jobs_of_indexes_and_schedules(cluster: Cluster, namespace: str) -> None:
    """An Indexed Job's pods know their index; a Job made from a CronJob is the CronJob's own."""
    say = template("job", "/bin/sh", "-c", "echo index=$JOB_COMPLETION_INDEX", restartPolicy="Never")
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "template": say}
    meta = {"name": "each"}
    daily = {"schedule": "@yearly", "jobTemplate": {"spec": {"template": say}}}
    apply(
        cluster,
        namespace,
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": daily},
    )
    cluster.kubectl("create", "job", "now", "--from=cronjob/tick", "-n", namespace)
    for name in ("each", "now"):
        cluster.wait(f"job/{name}", "condition=Complete", "-n", namespace, timeout="40s")
    status = cluster.get("job", "each", "-n", namespace)["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    logs = cluster.kubectl("logs", "-n", namespace, "-l", "job-name=each", "--tail=5")
    assert sorted(logs.split()) == ["index=0", "index=1", "index=2"]
    owners = cluster.get("job", "now", "-n", namespace)["metadata"]["ownerReferences"]
    assert [(ref["kind"], ref["name"]) for ref in owners] == [("CronJob", "tick")]
