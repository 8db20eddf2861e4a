"""The life of pods in real containers, through kubectl: order, hooks, restarts, resizes, static pods."""

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def box(name: str, *actions: str, **more: Any) -> dict[str, Any]:
    """A container that does `actions` (see testbox.c)."""
    return {"name": name, "image": "testbox:1", "args": list(actions), **more}


def made(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod of these containers that takes no time to stop."""
    body = pod(name, [], terminationGracePeriodSeconds=1)
    body["spec"] |= {"containers": list(containers), **spec}
    return body


def apply(cluster: Cluster, namespace: str, *bodies: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(items))


def states(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """Container name > its status."""
    status = cluster.get("pod", name, "-n", namespace)["status"]
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return {entry["name"]: entry for field in fields for entry in status.get(field) or ()}


def events(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    """Reason > the newest message of the events about a pod."""
    found = cluster.get("events", "-n", namespace, "--field-selector", f"involvedObject.name={name}")
    return {event["reason"]: event["message"] for event in found["items"]}


def test_sidecars_start_first_and_end_last(cluster: Cluster, namespace: str, testbox: str) -> None:
    """Init containers run in order, sidecars stay and end in reverse order once the others have ended."""
    writes = {"volumeMounts": [{"name": "log", "mountPath": "/log"}], "command": ["/bin/sh", "-c"]}
    say = "trap 'sleep 0.2; echo -{0} >> /log/order; exit' TERM; echo +{0} >> /log/order; {1}"
    stay = "while true; do sleep 0.05; done"

    def writer(name: str, then: str, **more: Any) -> dict[str, Any]:
        return box(name, say.format(name, then), **writes, **more)

    body = made(
        "order",
        writer("main", stay),
        initContainers=[
            writer("first", "true"),
            writer("side1", stay, restartPolicy="Always"),
            writer("side2", stay, restartPolicy="Always"),
        ],
        volumes=[
            {"name": "log", "hostPath": {"path": str(cluster.home / "order"), "type": "DirectoryOrCreate"}}
        ],
        terminationGracePeriodSeconds=10,
    )
    apply(cluster, namespace, body)
    cluster.wait("pod/order", "condition=Ready", "-n", namespace)
    cluster.kubectl("delete", "pod", "order", "-n", namespace)
    assert (cluster.home / "order" / "order").read_text().split() == [
        *("+first", "+side1", "+side2", "+main"),
        *("-main", "-side2", "-side1"),
    ]


def test_ends_are_told(cluster: Cluster, namespace: str, testbox: str) -> None:
    """Exit codes, signals, OOM kills and termination messages reach the status, each by its policy."""
    containers = [
        box("code", "write=/dev/termination-log:last words", "exit=3"),
        box("signal", "kill=SEGV"),
        box("greedy", "sleep=0.5", "eat=64", resources={"limits": {"memory": "16Mi"}}),
        box("logs", "log=from the log", "exit=1", terminationMessagePolicy="FallbackToLogsOnError"),
        box("fine", "log=unused", "exit=0", terminationMessagePolicy="FallbackToLogsOnError"),
    ]
    apply(cluster, namespace, made("ends", *containers, restartPolicy="Never"))
    cluster.wait("pod/ends", "jsonpath={.status.phase}=Failed", "-n", namespace)
    seen = {
        name: tuple(entry["state"]["terminated"].get(field) for field in ("exitCode", "reason", "message"))
        for name, entry in states(cluster, namespace, "ends").items()
    }
    assert seen == {
        "code": (3, "Error", "last words"),
        "signal": (139, "Error", None),
        "greedy": (137, "OOMKilled", None),
        "logs": (1, "Error", "from the log\n"),
        "fine": (0, "Completed", None),
    }


def test_hooks(cluster: Cluster, namespace: str, testbox: str) -> None:
    """A failed postStart hook stops its container; preStop hooks run before the signal, within the grace."""
    refuse = {"postStart": {"exec": {"command": ["/bin/sh", "-c", "exit 3"]}}}
    polite = {
        "preStop": {"httpGet": {"path": "/from-hook", "port": 8080}},
        "postStart": {"sleep": {"seconds": 0}},
    }
    broken = {"preStop": {"exec": {"command": ["/bin/false"]}}}
    apply(
        cluster,
        namespace,
        made("refuses", box("main", "trap=TERM:0", "wait", lifecycle=refuse)),
        made(
            "polite",
            box("main", "trap=TERM:0", "http=8080", "log=ready", "wait", lifecycle=polite),
            box("broken", "trap=TERM:0", "wait", lifecycle=broken),
        ),
    )
    why = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    cluster.wait("pod/refuses", f"{why}=CrashLoopBackOff", "-n", namespace)
    assert states(cluster, namespace, "refuses")["main"]["restartCount"] == 1
    assert events(cluster, namespace, "refuses")["FailedPostStartHook"] == "PostStartHook failed"
    cluster.wait("pod/polite", "condition=Ready", "-n", namespace)
    follow = ["kubectl", "logs", "-f", "polite", "-c", "main", "-n", namespace]
    with subprocess.Popen(follow, env=cluster.environment, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        first = logs.stdout.readline()  # it follows
        cluster.kubectl("delete", "pod", "polite", "-n", namespace, "--wait=false")
        assert first + logs.stdout.read() == "ready\nhttp GET /from-hook\nsignal TERM\n"
    assert events(cluster, namespace, "polite")["FailedPreStopHook"] == "PreStopHook failed"


def test_a_post_start_hook_holds_back(cluster: Cluster, namespace: str, testbox: str) -> None:
    """A container counts as running, and the next one is started, once its postStart hook is over."""
    hook = {"postStart": {"exec": {"command": ["/bin/sleep", "3"]}}}
    apply(cluster, namespace, made("slow", box("first", "wait", lifecycle=hook), box("second", "wait")))
    cluster.wait("pod/slow", "condition=Ready", "-n", namespace)
    first, second = (
        datetime.fromisoformat(states(cluster, namespace, "slow")[name]["state"]["running"]["startedAt"])
        for name in ("first", "second")
    )
    assert second - first >= timedelta(seconds=2)  # times are told in whole seconds
    begun = cluster.get("pod", "slow", "-n", namespace)["status"]["startTime"]
    assert datetime.fromisoformat(begun) <= first


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        ({"image": "Not//Valid"}, "InvalidImageName", "couldn't parse image name"),
        (
            {"image": "absent:1", "imagePullPolicy": "Never"},
            "ErrImageNeverPull",
            "is not present with pull policy of Never",
        ),
        ({"command": ["/absent"]}, "RunContainerError", "no such file or directory"),
        (
            {"envFrom": [{"configMapRef": {"name": "late"}}]},
            "CreateContainerConfigError",
            'configmap "late" not found',
        ),
    ],
    ids=["image-name", "never-pull", "no-command", "no-config"],
)
def test_impossible_pods_say_why(
    cluster: Cluster, namespace: str, testbox: str, change: dict[str, Any], reason: str, message: str
) -> None:
    """What keeps a container from running is its waiting reason and an event."""
    apply(cluster, namespace, made("bad", box("main", "wait", **change)))
    jsonpath = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    cluster.wait("pod/bad", f"{jsonpath}={reason}", "-n", namespace)
    described = cluster.kubectl("describe", "pod", "bad", "-n", namespace)
    assert message in described
    assert "Error: " in described


def test_resize_in_place(cluster: Cluster, namespace: str, testbox: str) -> None:
    """CPU follows without a restart, memory restarts where its policy says so, too much is Infeasible."""
    small = {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}}
    restart = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    apply(cluster, namespace, made("grow", box("main", "wait", resources=small, resizePolicy=restart)))
    cluster.wait("pod/grow", "condition=Ready", "-n", namespace)

    def resize(resources: dict[str, Any], until: str) -> dict[str, Any]:
        change = json.dumps({"spec": {"containers": [{"name": "main", "resources": resources}]}})
        cluster.kubectl("patch", "pod", "grow", "-n", namespace, "--subresource", "resize", "-p", change)
        cluster.wait("pod/grow", until, "-n", namespace)
        return states(cluster, namespace, "grow")["main"]

    where = "jsonpath={.status.containerStatuses[0].resources.limits"
    entry = resize({"limits": {"cpu": "200m"}}, f"{where}.cpu}}=200m")
    assert (entry["restartCount"], entry["resources"]["limits"]) == (0, {"cpu": "200m", "memory": "32Mi"})
    quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
    assert cluster.kubectl("exec", "-n", namespace, "grow", "--", "/bin/sh", "-c", quota).strip() == "20000"
    again = "jsonpath={.status.containerStatuses[0].restartCount}=1"
    assert resize({"limits": {"memory": "48Mi"}}, again)["resources"]["limits"]["memory"] == "48Mi"
    resize({"requests": {"cpu": "1k"}, "limits": {"cpu": "1k"}}, "condition=PodResizePending")
    conditions = cluster.get("pod", "grow", "-n", namespace)["status"]["conditions"]
    assert [c["reason"] for c in conditions if c["type"].startswith("PodResize")] == ["Infeasible"]
    resize({"requests": {"cpu": "50m"}, "limits": {"cpu": "200m"}}, "condition=Ready")
    cluster.kubectl(
        *("wait", "pod/grow", "-n", namespace, "--for=condition=PodResizePending=false", "--timeout=1s"), code=1
    )
    assert {"ResizeStarted", "ResizeCompleted", "ResizeInfeasible"} <= events(cluster, namespace, "grow").keys()


def test_static_pod(cluster: Cluster, testbox: str) -> None:
    """A file in the folder is a pod with a mirror, which comes back when deleted and goes with the file."""
    folder = cluster.folder / "manifests"
    body = made("still", box("main", "trap=TERM:0", "log=first", "wait"))
    name = f"still-{cluster.get('nodes')['items'][0]['metadata']['name']}"
    body["metadata"]["namespace"] = "kube-system"
    (folder / "still.json").write_text(json.dumps(body))
    cluster.kubectl("wait", "--for=create", f"pod/{name}", "-n", "kube-system", "--timeout=20s")
    cluster.wait(f"pod/{name}", "condition=Ready", "-n", "kube-system")
    before = cluster.get("pod", name, "-n", "kube-system")
    annotations = before["metadata"]["annotations"]
    assert annotations["kubernetes.io/config.mirror"] == annotations["kubernetes.io/config.hash"]
    assert annotations["kubernetes.io/config.source"] == "file"
    cluster.kubectl("delete", "pod", name, "-n", "kube-system")
    cluster.kubectl("wait", "--for=create", f"pod/{name}", "-n", "kube-system", "--timeout=20s")
    cluster.wait(f"pod/{name}", "condition=Ready", "-n", "kube-system")
    after = cluster.get("pod", name, "-n", "kube-system")
    ids = [p["status"]["containerStatuses"][0]["containerID"] for p in (before, after)]
    assert ids[0] == ids[1]
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    assert cluster.kubectl("logs", name, "-n", "kube-system") == "first\n"
    (folder / "still.json").unlink()
    cluster.kubectl("wait", "--for=delete", f"pod/{name}", "-n", "kube-system", "--timeout=20s")


def test_deadline_gates_and_debuggers(cluster: Cluster, namespace: str, testbox: str) -> None:
    """activeDeadlineSeconds fails a pod, a readiness gate holds it back, an ephemeral container joins it."""
    gated = made("gated", box("main", "wait"), readinessGates=[{"conditionType": "example.com/open"}])
    late = made("late", box("main", "trap=TERM:0", "wait"), activeDeadlineSeconds=1)
    apply(cluster, namespace, gated, late)
    cluster.wait("pod/gated", "condition=ContainersReady", "-n", namespace)
    conditions = cluster.get("pod", "gated", "-n", namespace)["status"]["conditions"]
    ready = next(c for c in conditions if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert {c.get("observedGeneration") for c in conditions} == {1}
    gate = {"status": {"conditions": [{"type": "example.com/open", "status": "True"}]}}
    cluster.kubectl("patch", "pod", "gated", "-n", namespace, "--subresource=status", "-p", json.dumps(gate))
    cluster.wait("pod/gated", "condition=Ready", "-n", namespace)
    cluster.kubectl(
        "debug", "gated", "-n", namespace, "--image=testbox:1", "-c", "aid", "--", "/bin/testbox", "exit=4"
    )
    ended = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=4"
    cluster.wait("pod/gated", ended, "-n", namespace)
    cluster.wait("pod/late", "jsonpath={.status.reason}=DeadlineExceeded", "-n", namespace)
    assert cluster.get("pod", "late", "-n", namespace)["status"]["phase"] == "Failed"
