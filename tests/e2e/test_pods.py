"""Pods that misbehave, judged by the real kubectl: each tells why, heals where it can, and ends as asked."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Kubectl = Callable[..., str]


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""

    def run(*arguments: str, **more: Any) -> str:
        return cluster.kubectl("-n", namespace, *arguments, **more)

    return run


def shell_pod(name: str, script: str, **spec: Any) -> dict[str, Any]:
    quick = {"terminationGracePeriodSeconds": 1}
    return pod(name, ["/bin/sh", "-c", script], **quick | spec)


def create(kubectl: Kubectl, *objects: dict[str, Any]) -> None:
    kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def await_state(kubectl: Kubectl, name: str, path: str, value: str) -> None:
    kubectl("wait", f"pod/{name}", f"--for=jsonpath={{.status.{path}}}={value}", "--timeout=60s")


def test_failures_say_why(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """What cannot run says why in its status, by Kubernetes' names; a missing Secret heals once it is there."""
    secret = {"name": "P", "valueFrom": {"secretKeyRef": {"name": "later", "key": "p"}}}
    create(
        kubectl,
        shell_pod("config", "sleep 600", container={"env": [secret]}),
        shell_pod("memory", "tail /dev/zero", restartPolicy="Never",
                  container={"resources": {"limits": {"memory": "16Mi"}}}),
        pod("missing", ["/nowhere"], restartPolicy="Never"),
        shell_pod("root", "sleep 600", securityContext={"runAsNonRoot": True, "runAsUser": 0}),
        shell_pod("late", "sleep 600", activeDeadlineSeconds=1),
        shell_pod("words", "echo -n farewell > /dev/termination-log; exit 3", restartPolicy="Never"),
    )  # fmt: skip
    state = "containerStatuses[0].state"
    await_state(kubectl, "config", f"{state}.waiting.reason", "CreateContainerConfigError")
    await_state(kubectl, "memory", f"{state}.terminated.reason", "OOMKilled")
    await_state(kubectl, "missing", f"{state}.terminated.reason", "StartError")
    await_state(kubectl, "root", f"{state}.waiting.reason", "CreateContainerConfigError")
    await_state(kubectl, "late", "reason", "DeadlineExceeded")
    await_state(kubectl, "words", f"{state}.terminated.message", "farewell")
    kubectl("create", "secret", "generic", "later", "--from-literal=p=1")
    cluster.wait("pod/config", "condition=Ready", "-n", namespace)


def test_crashing_pod_backs_off_and_keeps_its_logs(kubectl: Kubectl) -> None:
    """A container that crashes is restarted with a backoff; its last run's output can be read."""
    create(kubectl, shell_pod("crash", "echo last words; exit 1"))
    await_state(kubectl, "crash", "containerStatuses[0].state.waiting.reason", "CrashLoopBackOff")
    assert kubectl("logs", "crash", "--previous") == "last words\n"


def test_termination_is_graceful_or_forced(cluster: Cluster, namespace: str, kubectl: Kubectl) -> None:
    """preStop and SIGTERM come first and are seen in the log; a forced deletion waits for nobody."""
    hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    graceful = "trap 'echo term; exit 0' TERM; echo up; while true; do sleep 0.1; done"
    stubborn = "trap '' TERM; while true; do sleep 1; done"
    create(
        kubectl,
        shell_pod("graceful", graceful, terminationGracePeriodSeconds=30, container={"lifecycle": hook}),
        shell_pod("stubborn", stubborn, terminationGracePeriodSeconds=600),
    )
    cluster.wait("pod/graceful", "condition=Ready", "-n", namespace)
    cluster.wait("pod/stubborn", "condition=Ready", "-n", namespace)
    follow = ["kubectl", "-n", namespace, "logs", "-f", "graceful"]
    with subprocess.Popen(follow, env=cluster.environment, stdout=subprocess.PIPE, text=True) as log:
        assert log.stdout is not None
        assert log.stdout.readline() == "up\n"
        kubectl("delete", "pod", "graceful", "--timeout=20s")
        assert log.stdout.read() == "hook\nterm\n"
    uid = cluster.get("pod", "stubborn", "-n", namespace)["metadata"]["uid"]
    kubectl("delete", "pod", "stubborn", "--grace-period=0", "--force")
    create(kubectl, shell_pod("stubborn", "sleep 600"))
    cluster.wait("pod/stubborn", "condition=Ready", "-n", namespace)
    assert cluster.get("pod", "stubborn", "-n", namespace)["metadata"]["uid"] != uid


def test_streams_of_a_pod(
    cluster: Cluster, namespace: str, kubectl: Kubectl, shell: Callable[..., str]
) -> None:
    """exec carries stdin, both outputs and the exit code; a debug container sees its target's processes."""
    text = "x" * 300_000
    assert kubectl("exec", "-i", "shell", "--", "/bin/busybox", "cat", input=text) == text
    assert "command terminated with exit code 7" in shell("echo out; echo err >&2; exit 7", code=7)
    debug = ("debug", "shell", "--image=demo:1", "--image-pull-policy=Never", "--target=main", "-c", "look")
    kubectl(*debug, "--", "/bin/busybox", "ps")
    await_state(kubectl, "shell", "ephemeralContainerStatuses[0].state.terminated.reason", "Completed")
    assert "sleep 3600" in kubectl("logs", "shell", "-c", "look")
