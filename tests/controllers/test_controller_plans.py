"""The pure parts of the other controllers, by tables."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from minikube_py.client.base import Change
from minikube_py.controllers import (
    endpoints,
    endpointslice,
    nodeipam,
    nodelifecycle,
    replicaset,
    tainteviction,
)
from minikube_py.controllers.daemonsets import placement, rollout
from minikube_py.controllers.garbagecollector import policy_of
from minikube_py.controllers.history import surplus
from minikube_py.controllers.ownership import plan_claim
from minikube_py.controllers.pods import removal_order
from minikube_py.controllers.standings import Counts, Standings, standing_of
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec import nodefit
from minikube_py.meta.objects import Obj, labels_of, timestamp
from minikube_py.meta.selectors import parse_labels

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEGIN = "2025-12-31T00:00:00Z"


def pod(name: str = "p", phase: str = "Running", ready: bool = True, **more: Any) -> Obj:
    since = timestamp(NOW - timedelta(seconds=more.pop("ready_for", 1000)))
    meta = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": more.pop("created", BEGIN)}
    meta |= more.pop("meta", {})
    ready_condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    status = {"phase": phase, "conditions": [ready_condition], **more.pop("status", {})}
    return {"metadata": meta, "spec": {"nodeName": "n1", **more}, "status": status}


DELETING = {"meta": {"deletionTimestamp": timestamp(NOW)}}
COSTLY = {"meta": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "10"}}}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(pod("a"), pod("b", nodeName=""), id="unassigned"),
        pytest.param(pod("a"), pod("b", phase="Pending"), id="pending"),
        pytest.param(pod("a"), pod("b", ready=False), id="not-ready"),
        pytest.param(pod("a", **COSTLY), pod("b"), id="cheap"),
        pytest.param(pod("a", nodeName="n2"), pod("b"), id="doubled-on-its-node"),
        pytest.param(pod("a"), pod("b", ready_for=5), id="ready-for-less-long"),
        pytest.param(pod("a"), pod("b", created=timestamp(NOW)), id="younger"),
        pytest.param(
            pod("a"), pod("b", status={"containerStatuses": [{"restartCount": 3}]}), id="often-restarted"
        ),
    ],
)
def test_removal_order(better: Obj, worse: Obj) -> None:
    """The pod that is worth less is removed first."""
    related = [better, worse, pod("c", nodeName="n1")]
    for order in ([better, worse], [worse, better]):
        assert [p["metadata"]["name"] for p in removal_order(order, related, NOW)] == ["b", "a"]


@pytest.mark.parametrize(
    ("replicas", "pods", "expected"),
    [
        (2, [], 2),
        (2, [pod("a"), pod("b")], 0),
        (1, [pod("a"), pod("b", ready=False)], -1),
        (2, [pod("a"), pod("b", phase="Failed"), pod("c", **DELETING)], 1),
        (0, [pod("a"), pod("b", phase="Succeeded")], -1),
    ],
)
def test_missing_replicas(replicas: int, pods: list[Obj], expected: int) -> None:
    """Only active pods count; what is missing is made, what is too much goes."""
    assert replicaset.missing({"spec": {"replicas": replicas}}, counted(pods)) == expected


def counted(pods: list[Obj]) -> Counts:
    return Counter(map(standing_of, pods))


def test_standings_follow_every_change() -> None:
    """Pods are counted under their controller as they stand now, and not at all once they are gone."""
    standings, refs = Standings("ReplicaSet"), [{"kind": "ReplicaSet", "uid": "me", "controller": True}]
    first = pod("a", ready=False, meta={"ownerReferences": refs})
    second, foreign = pod("a", meta={"ownerReferences": refs}), pod("b")
    standings.note(Change("ADDED", Pod, first))
    standings.note(Change("ADDED", Pod, foreign))
    assert standings.of("me") == counted([first])
    standings.note(Change("MODIFIED", Pod, second, first))
    assert standings.of("me") == counted([second])
    standings.note(Change("DELETED", Pod, second, second))
    assert standings.of("me") == {}


def test_replicaset_status() -> None:
    """Counts are of active pods; availability needs minReadySeconds."""
    template = {"metadata": {"labels": {"app": "web"}}}
    rs = {"metadata": {"generation": 3}, "spec": {"replicas": 3, "minReadySeconds": 60, "template": template}}
    labels = {"meta": {"labels": {"app": "web", "more": "x"}}}
    pods = [pod("a", **labels), pod("b", ready_for=10), pod("c", ready=False), pod("d", phase="Failed")]
    failure = ("FailedCreate", "no quota")
    status = replicaset.observed(rs, counted(pods), failure, NOW)
    [condition] = status.pop("conditions")
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "observedGeneration": 3,
    }
    assert (condition["type"], condition["reason"], condition["message"]) == ("ReplicaFailure", *failure)


def owned(name: str, uid: str, app: str, **meta: Any) -> Obj:
    refs = [{"uid": uid, "controller": True}] if uid else []
    return {"metadata": {"name": name, "labels": {"app": app}, "ownerReferences": refs, **meta}}


def test_claims() -> None:
    """Matching objects are kept or adopted, others released; those of another owner are left alone."""
    owner = {"metadata": {"uid": "me"}}
    gone = {"deletionTimestamp": BEGIN}
    objects = [
        owned("mine", "me", "web"),
        owned("lost", "me", "other"),
        owned("orphan", "", "web"),
        owned("foreign", "you", "web"),
        owned("stranger", "", "other"),
        owned("dying", "", "web", **gone),
        owned("dying-mine", "me", "other", **gone),
    ]

    def names(of: Obj) -> list[list[str]]:
        found = plan_claim(of, lambda obj: parse_labels("app=web").matches(labels_of(obj)), objects)
        return [[o["metadata"]["name"] for o in part] for part in (found.kept, found.adopt, found.release)]

    assert names(owner) == [["mine"], ["orphan"], ["lost"]]
    assert names({"metadata": {"uid": "me", **gone}}) == [["mine"], [], []]


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "j", "operator": "Exists"}, False),
        ({"operator": "Equal", "value": "v"}, False),
    ],
)
def test_tolerations(toleration: Obj, expected: bool) -> None:
    """A toleration covers a taint by key, value and effect, where an empty one stands for any."""
    assert nodefit.tolerates(toleration, {"key": "k", "value": "v", "effect": "NoExecute"}) is expected


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["a", "b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
    ],
)
def test_node_affinity(operator: str, values: list[str], expected: bool) -> None:
    """A required node affinity term is judged by its operator."""
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    node = {"metadata": {"name": "n", "labels": {"zone": "a"}}}
    assert nodefit.selects({"affinity": {"nodeAffinity": required}}, node) is expected


def node(name: str, *taints: tuple[str, str]) -> Obj:
    found = [{"key": key, "effect": effect} for key, effect in taints]
    return {"metadata": {"name": name, "labels": {}}, "spec": {"taints": found}}


def daemon(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds", "namespace": "default", "uid": "ds"},
        "spec": {"template": template, **spec},
    }


@pytest.mark.parametrize(
    ("taints", "expected"),
    [
        ([], (True, True)),
        ([("node.kubernetes.io/unschedulable", "NoSchedule")], (True, True)),
        ([("node.kubernetes.io/unreachable", "NoExecute")], (True, True)),
        ([("own", "NoSchedule")], (False, True)),
        ([("own", "NoExecute")], (False, False)),
        ([("node.kubernetes.io/network-unavailable", "NoSchedule")], (False, True)),
    ],
)
def test_daemon_placement(taints: Any, expected: tuple[bool, bool]) -> None:
    """Daemon pods bear a troubled node, but not taints that others set."""
    found = placement.placer(daemon())(node("n1", *taints))
    assert (found.run, found.stay) == expected


def test_daemon_moves() -> None:
    """Each node gets one pod: doubles, ended ones and those where none may be go."""
    nodes = [node("n1"), node("n2"), node("n3", ("own", "NoExecute")), node("n4")]
    pods = [
        pod("young", created="2026-01-01T00:00:00Z"),
        pod("old"),
        pod("banned", nodeName="n3"),
        pod("ended", phase="Failed", nodeName="n4"),
    ]
    moves = placement.plan_placement(daemon(), nodes, placement.by_node(pods), False)
    assert moves.create == ["n2"]
    assert [p["metadata"]["name"] for p in moves.delete] == ["young", "banned", "ended"]
    assert [p["metadata"]["name"] for p in moves.failed] == ["ended"]


def test_a_daemon_pod_is_bound_to_its_node() -> None:
    """The pod for a node selects it by name, in place of the terms of the template's affinity."""
    ds = daemon()
    expression = {"key": "zone", "operator": "Exists"}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    ds["spec"]["template"]["spec"]["affinity"] = affinity
    made = placement.new_pod(ds, "n7", "abc")
    assert placement.node_of(made) == "n7"
    path = made["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    this_node = {"key": "metadata.name", "operator": "In", "values": ["n7"]}
    assert path["nodeSelectorTerms"] == [{"matchFields": [this_node]}]
    assert made["metadata"]["labels"] == {"app": "x", "controller-revision-hash": "abc"}
    assert len(made["spec"]["tolerations"]) == 6
    assert terms == {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def daemon_pod(name: str, on: str, version: str, ready: bool = True) -> Obj:
    return pod(name, nodeName=on, ready=ready, meta={"labels": {"controller-revision-hash": version}})


@pytest.mark.parametrize(
    ("limits", "pods", "expected"),
    [
        pytest.param({}, [("a", "n1", "old"), ("b", "n2", "old")], ([], ["a"]), id="one-at-a-time"),
        pytest.param(
            {"maxUnavailable": "100%"}, [("a", "n1", "old"), ("b", "n2", "old")], ([], ["a", "b"]), id="all"
        ),
        pytest.param({}, [("a", "n1", "new", False), ("b", "n2", "old")], ([], []), id="waits"),
        pytest.param({}, [("a", "n1", "old", False), ("b", "n2", "old")], ([], ["a"]), id="broken-first"),
        pytest.param({"maxSurge": 1}, [("a", "n1", "old"), ("b", "n2", "old")], (["n1"], []), id="surge"),
        pytest.param(
            {"maxSurge": 1},
            [("a", "n1", "old"), ("c", "n1", "new"), ("b", "n2", "old")],
            (["n2"], ["a"]),
            id="surge-moves-on",
        ),
    ],
)
def test_daemon_update(limits: Obj, pods: Any, expected: Any) -> None:
    """Old pods are replaced within maxUnavailable, or beside new ones within maxSurge."""
    ds = daemon(updateStrategy={"type": "RollingUpdate", "rollingUpdate": limits})
    placed = placement.by_node(daemon_pod(*entry) for entry in pods)
    found = rollout.plan_update(ds, [node("n1"), node("n2")], placed, "new", NOW)
    assert (found.create, [p["metadata"]["name"] for p in found.delete]) == expected


def test_revision_history_keeps_what_runs() -> None:
    """Revisions that pods run are never surplus; of the others the oldest are."""
    known = [{"metadata": {"name": str(n), "labels": {"controller-revision-hash": f"h{n}"}}} for n in range(5)]
    assert [rev["metadata"]["name"] for rev in surplus(known, {"h0", "h4"}, 1)] == ["1", "2"]


def service(**spec: Any) -> Obj:
    meta = {"name": "web", "namespace": "default", "uid": "svc", "labels": {"team": "a"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {}, **spec}}


def entry(number: int, ready: bool = True) -> Obj:
    return {
        "addresses": [f"10.0.0.{number}"],
        "conditions": {"ready": ready},
        "targetRef": {"uid": str(number)},
    }


GROUP = ("IPv4", b'[{"name":"","port":80,"protocol":"TCP"}]')
PORTS = [{"name": "", "port": 80, "protocol": "TCP"}]


def slice_of(name: str, endpoints: list[Obj]) -> Obj:
    meta = {"name": name, "labels": endpointslice.labels(service())}
    return {"metadata": meta, "addressType": "IPv4", "ports": PORTS, "endpoints": endpoints}


def test_slices_change_as_little_as_possible() -> None:
    """An unchanged slice is not written, a changed one once; new endpoints go where there is room."""
    full = slice_of("full", [entry(n) for n in range(100)])
    half = slice_of("half", [entry(n) for n in range(100, 150)])
    wanted = {GROUP: [entry(n) for n in range(150)]}
    same = endpointslice.plan(service(), wanted, [full, half])
    assert (same.create, same.update, same.delete) == ([], [], [])
    more = endpointslice.plan(service(), {GROUP: [entry(n) for n in range(151)]}, [full, half])
    assert [(s["metadata"]["name"], len(s["endpoints"])) for s in more.update] == [("half", 51)]
    moved = endpointslice.plan(service(), {GROUP: [entry(0, False), *wanted[GROUP][1:]]}, [full, half])
    assert [s["metadata"]["name"] for s in moved.update] == ["full"]
    fewer = endpointslice.plan(service(), {GROUP: wanted[GROUP][:100]}, [full, half])
    assert ([s["metadata"]["name"] for s in fewer.delete], fewer.update) == (["half"], [])
    grown = endpointslice.plan(service(), {GROUP: [entry(n) for n in range(250)]}, [full])
    assert [len(s["endpoints"]) for s in grown.create] == [100, 50]


def test_endpoints_of_named_ports() -> None:
    """Pods whose port of one name has different numbers are in different groups; others are left out."""
    named = service(ports=[{"port": 80, "targetPort": "http", "protocol": "TCP"}])

    def with_port(name: str, number: int, ready: bool = True) -> Obj:
        ports = [{"name": "http", "containerPort": number, "protocol": "TCP"}] if number else []
        made = pod(name, ready=ready, containers=[{"ports": ports}])
        made["status"]["podIP"] = f"10.0.0.{number % 256}"
        return made

    pods = [with_port("a", 8080), with_port("b", 9090), with_port("c", 8081, False), with_port("d", 0)]
    found = endpoints.subsets(named, pods)
    shown = [
        (s["ports"][0]["port"], len(s.get("addresses", [])), len(s.get("notReadyAddresses", []))) for s in found
    ]
    assert shown == [(8080, 1, 0), (8081, 0, 1), (9090, 1, 0)]
    kept, cut = endpoints.truncate(found, 2)
    assert ([s["ports"][0]["port"] for s in kept], cut) == ([8080, 9090], True)


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.244.0.0/24"),
        (["10.244.0.0/24"], "10.244.1.0/24"),
        (["10.244.0.0/23", "10.244.3.0/24"], "10.244.2.0/24"),
        (["10.244.0.0/16"], ""),
    ],
)
def test_pod_ranges(taken: list[str], expected: str) -> None:
    """A node gets the first range that overlaps no other."""
    assert nodeipam.free_range("10.244.0.0/16", 24, taken) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"Ready": "True"}, []),
        ({"Ready": "False"}, ["not-ready:NoSchedule", "not-ready:NoExecute"]),
        ({"Ready": "Unknown"}, ["unreachable:NoSchedule", "unreachable:NoExecute"]),
        ({"Ready": "True", "DiskPressure": "True"}, ["disk-pressure:NoSchedule"]),
        ({}, ["not-ready:NoSchedule"]),
    ],
)
def test_taints_of_conditions(conditions: dict[str, str], expected: list[str]) -> None:
    """Conditions become taints, and taints go with them; a node that never posted keeps its first taint."""
    found = node("n1", ("node.kubernetes.io/not-ready", "NoSchedule"))
    found["status"] = {"conditions": [{"type": type, "status": s} for type, s in conditions.items()]}
    taints = nodelifecycle.wanted_taints(found, NOW)
    assert [f"{t['key'].partition('/')[2]}:{t['effect']}" for t in taints] == expected


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], 0.0),
        ([{"operator": "Exists"}], None),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 300}], 290.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 5}], 0.0),
        ([{"key": "other", "operator": "Exists"}], 0.0),
    ],
)
def test_eviction_times(tolerations: list[Obj], expected: float | None) -> None:
    """A pod leaves at once, after its toleration's time since the taint was added, or never."""
    taint = {"key": "k", "effect": "NoExecute", "timeAdded": timestamp(NOW - timedelta(seconds=10))}
    assert tainteviction.evict_in(tolerations, [taint], NOW) == expected


@pytest.mark.parametrize(
    ("finalizers", "expected"),
    [([], "Background"), (["foregroundDeletion"], "Foreground"), (["orphan"], "Orphan"), (["x"], "Background")],
)
def test_collection_policy(finalizers: list[str], expected: str) -> None:
    """An unwanted object is deleted as its finalizers ask."""
    assert policy_of({"metadata": {"finalizers": finalizers}}) == expected
