"""Simulated pods, purely: their rules, and what becomes of them in each stage."""

from dataclasses import asdict
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import orjson
import pytest

from minikube_py.kubelet.simulated.addresses import Addresses
from minikube_py.kubelet.simulated.course import Place, Step, stage_of, step
from minikube_py.kubelet.simulated.nodes import completed, machine_of, simulated_node
from minikube_py.kubelet.simulated.rules import RULES, BadRules, Rules, parse, rules_of
from minikube_py.meta.objects import Obj, condition, dig

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
PLACE = Place("198.18.0.9", "198.18.0.1")
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j1", "controller": True}


def pod(rules: Any = None, **spec: Any) -> Obj:
    meta: Obj = {"name": "p", "namespace": "default", "uid": "u1", "generation": 1}
    if rules is not None:
        meta["annotations"] = {RULES: orjson.dumps(rules).decode()}
    whole = {"nodeName": "n1", "restartPolicy": "Always", "containers": [{"name": "main", "image": "web:1"}]}
    return {"metadata": meta, "spec": {**whole, **spec}, "status": {"phase": "Pending"}}


def after(subject: Obj, rules: Rules, *elapsed: float) -> Obj:
    """The pod after so many steps, each taken that long after its stage began."""
    for seconds in elapsed:
        found = step(subject, rules, seconds, PLACE, NOW)
        assert found.status is not None
        subject = {**subject, "status": found.status}
    return subject


def told(subject: Obj) -> tuple[str, str, str, int]:
    """Stage, phase, Ready and restarts."""
    ready = condition(subject, "Ready") or {}
    restarts = subject["status"]["containerStatuses"][0]["restartCount"]
    return stage_of(subject), subject["status"]["phase"], ready.get("status", ""), restarts


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {}),
        ({"delay": "1s", "jitter": "500ms"}, {"delay": 1.0, "jitter": 0.5}),
        ({"succeed": "1m30s", "fail": 0.1}, {"succeed": 90.0, "fail": 0.1}),
        ({"ready": "0", "stop": "2s", "fail": 1}, {"stop": 2.0, "fail": 1.0}),
    ],
)
def test_rules_are_read(said: Obj, expected: Obj) -> None:
    """Durations are Go's, chances numbers, and what is not said has its default."""
    assert asdict(parse(said)) == {**asdict(Rules()), **expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "minikube-py.io/simulate is no JSON: "),
        ("[]", "minikube-py.io/simulate is no JSON object"),
        ('{"dely":"1s"}', "unknown rule 'dely': there are delay, jitter, ready, succeed, stop, fail"),
        ('{"delay":"soon"}', "delay: 'soon' is no duration such as \"1.5s\""),
        ('{"delay":3}', 'delay: 3 is no duration such as "1.5s"'),
        ('{"stop":"-1s"}', "stop: '-1s' is no duration such as \"1.5s\""),
        ('{"fail":2}', "fail: 2 is not between 0 and 1"),
        ('{"fail":"often"}', "fail: 'often' is no number"),
        ('{"fail":true}', "fail: True is no number"),
    ],
)
def test_bad_rules_say_why(text: str, message: str) -> None:
    """An annotation that is no set of rules is refused with what is wrong about it."""
    subject = pod()
    subject["metadata"]["annotations"] = {RULES: text}
    with pytest.raises(BadRules) as caught:
        rules_of(subject, {"metadata": {"name": "n1"}})
    assert str(caught.value).startswith(message)


def test_a_pod_overrides_its_node() -> None:
    """Rules of the node are the defaults of its pods."""
    node = {"metadata": {"name": "n1", "annotations": {RULES: '{"delay":"1s","stop":"3s"}'}}}
    assert rules_of(pod({"delay": "2s"}), node) == Rules(delay=2.0, stop=3.0)


def test_a_job_ends_by_itself() -> None:
    """A Job's pod without a rule for its end succeeds at once; one with a rule keeps it."""
    plain, slow = pod(restartPolicy="Never"), pod({"succeed": "9s"}, restartPolicy="Never")
    for subject in (plain, slow):
        subject["metadata"]["ownerReferences"] = [JOB]
    node = {"metadata": {"name": "n1"}}
    assert (rules_of(plain, node).succeed, rules_of(slow, node).succeed) == (0.0, 9.0)


@pytest.mark.parametrize(
    ("policy", "rules", "elapsed", "expected"),
    [
        ("Always", Rules(), (0,), ("running", "Running", "True", 0)),
        ("Always", Rules(ready=2), (0,), ("starting", "Running", "False", 0)),
        ("Always", Rules(ready=2), (0, 2), ("running", "Running", "True", 0)),
        ("Never", Rules(succeed=5), (0, 5), ("ended", "Succeeded", "False", 0)),
        ("Never", Rules(succeed=5, fail=1), (0, 5), ("ended", "Failed", "False", 0)),
        ("Never", Rules(fail=1), (0, 0), ("ended", "Failed", "False", 0)),
        ("OnFailure", Rules(succeed=5), (0, 5), ("ended", "Succeeded", "False", 0)),
        ("OnFailure", Rules(succeed=5, fail=1), (0, 5), ("running", "Running", "True", 1)),
        ("Always", Rules(succeed=5), (0, 5, 10), ("running", "Running", "True", 2)),
    ],
)
def test_the_course_of_a_pod(policy: str, rules: Rules, elapsed: Any, expected: Any) -> None:
    """A pod starts, gets ready, ends and is started again as its rules and its restart policy say."""
    assert told(after(pod(restartPolicy=policy), rules, *elapsed)) == expected


@pytest.mark.parametrize(
    ("rules", "steps", "elapsed", "left"),
    [
        (Rules(delay=3), (), 1, 2.0),
        (Rules(ready=4), (0,), 1, 3.0),
        (Rules(succeed=5), (0,), 2, 3.0),
        (Rules(succeed=5), (0, 5), 2, 8.0),
        (Rules(), (0,), 100, None),
    ],
)
def test_stages_last(rules: Rules, steps: Any, elapsed: float, left: float | None) -> None:
    """Before its time nothing is written, and the pod is looked at again when its time has come; a container
    that was started again runs ten seconds at least."""
    assert step(after(pod(), rules, *steps), rules, elapsed, PLACE, NOW) == Step(again=left)


def test_the_status_is_a_kubelets() -> None:
    """A running pod has addresses, all conditions, init containers that have ended, sidecars that run."""
    inits = [{"name": "setup", "image": "i:1"}, {"name": "side", "image": "s:1", "restartPolicy": "Always"}]
    status = after(pod(initContainers=inits), Rules(), 0)["status"]
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    addresses = (status["podIP"], status["hostIP"], status["startTime"])
    assert addresses == ("198.18.0.9", "198.18.0.1", "2026-01-01T12:00:00Z")
    states = {e["name"]: (next(iter(e["state"])), e["ready"]) for e in status["initContainerStatuses"]}
    assert states == {"setup": ("terminated", True), "side": ("running", True)}
    main = status["containerStatuses"][0]
    assert main["state"] == {"running": {"startedAt": "2026-01-01T12:00:00Z"}}
    assert (main["image"], main["imageID"][:13], main["started"]) == ("web:1", "web:1@sha256:", True)


def test_readiness_gates_count() -> None:
    """A pod with a readiness gate is ready once somebody opens it."""
    gated = after(pod(readinessGates=[{"conditionType": "example.com/up"}]), Rules(), 0)
    assert condition(gated, "Ready")["reason"] == "ReadinessGatesNotReady"  # type: ignore[index]
    gated["status"]["conditions"].append({"type": "example.com/up", "status": "True"})
    assert condition(after(gated, Rules(), 0), "Ready")["status"] == "True"  # type: ignore[index]


@pytest.mark.parametrize(
    ("finalizers", "expected"), [((), (None, True)), (("batch.kubernetes.io/job-tracking",), ("Failed", True))]
)
def test_a_deleted_pod_goes(finalizers: Any, expected: Any) -> None:
    """A deleted pod is gone after its time to stop; one that somebody waits for tells first how it ended."""
    running = after(pod(), Rules(), 0)
    running["metadata"] |= {"deletionTimestamp": "2026-01-01T12:00:01Z", "deletionGracePeriodSeconds": 30}
    running["metadata"]["finalizers"] = list(finalizers)
    assert step(running, Rules(stop=2), 1, PLACE, NOW) == Step(again=1.0)
    assert step(running, Rules(stop=90), 30, PLACE, NOW).gone is True
    found = step(running, Rules(stop=2), 2, PLACE, NOW)
    assert (dig(found.status, "phase"), found.gone) == expected


def test_jitter_spreads_and_repeats() -> None:
    """Jitter adds between nothing and itself, the same for one pod each time, another for another pod."""
    rules, waits = Rules(delay=1, jitter=2), []
    for number in range(20):
        subject = pod()
        subject["metadata"]["uid"] = f"u{number}"
        found = [step(subject, rules, 0, PLACE, NOW).again for _ in range(2)]
        assert found[0] == found[1]
        waits.append(found[0] or 0.0)
    assert (min(waits) >= 1, max(waits) < 3, len(set(waits))) == (True, True, 20)


def test_chance_meets_its_share() -> None:
    """Of a thousand pods that fail with a chance of 0.1, about a hundred do."""
    failed = sum(Rules(fail=0.1).fails(f"u{number}/0") for number in range(1000))
    assert abs(failed - 100) < 30


def test_addresses_are_ones_own() -> None:
    """Each holder has one address as long as it lives; what an earlier process gave out is kept; none is left
    where all are taken, and a released one is free again."""
    pool = Addresses(IPv4Network("198.18.0.0/29"))
    pool.claim("old", "198.18.0.1")
    pool.claim("stranger", "10.0.0.1")
    first = [pool.of("a"), pool.of("old"), pool.of("a"), pool.of("b")]
    assert first == ["198.18.0.2", "198.18.0.1", "198.18.0.2", "198.18.0.3"]
    assert [pool.of(name) for name in "cdef"] == ["198.18.0.4", "198.18.0.5", "198.18.0.6", ""]
    pool.release("a")
    assert pool.of("f") == "198.18.0.2"


def test_a_node_is_completed() -> None:
    """What the maker of a node says of its capacity stays; the rest is a normal node's, and it stays so."""
    node = simulated_node(7)
    node["metadata"]["uid"] = "n7"
    node["status"] = {"capacity": {"cpu": "2", "example.com/dongle": "4"}}
    labels, status = completed(node, "198.18.0.1", machine_of(node, "x86_64"), NOW)
    assert status is not None
    assert (node["metadata"]["name"], labels["kubernetes.io/hostname"]) == ("node-0007", "node-0007")
    amounts = {"cpu": "2", "memory": "33554432Ki", "pods": "110", "example.com/dongle": "4"}
    assert {name: status["capacity"][name] for name in amounts} == amounts
    assert {n: status["allocatable"][n] for n in amounts} == {**amounts, "memory": "32Gi"}
    assert condition({"status": status}, "Ready")["reason"] == "KubeletReady"  # type: ignore[index]
    node["metadata"]["labels"] |= labels
    again = completed({**node, "status": status}, "198.18.0.1", machine_of(node, "x86_64"), NOW)
    assert again == ({}, None)
