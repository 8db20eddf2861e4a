"""Pods around pods: affinity, anti-affinity and topology spread, by tables of small clusters."""

from typing import Any

import pytest
from builders import affinity, cluster, labelled, node, pod_term

from minikube_py.meta.objects import Obj
from minikube_py.scheduler.framework import SKIP, Plugin, Reject
from minikube_py.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from minikube_py.scheduler.plugins.pod_topology_spread import PodTopologySpread
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
NEAR = "node(s) didn't match pod affinity rules"
AWAY = "node(s) didn't match pod anti-affinity rules"
UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"
SKEWED = "node(s) didn't match pod topology spread constraints"
UNLABELLED = f"{SKEWED} (missing required label)"
WEB, DB = {"app": "web"}, {"app": "db"}
TEAM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {"kind": "team"}}}


def nodes() -> list[Obj]:
    """a1 and a2 in zone a, b1 in zone b, x1 in none."""
    zoned = [node(name, labels={ZONE: name[0]}) for name in ("a1", "a2", "b1")]
    return [*zoned, node("x1")]


def refusals(plugin: Plugin, pod: Obj, snapshot: Snapshot) -> dict[str, str]:
    """By node, why it does not take the pod."""
    info = PodInfo.of(pod)
    prepared = plugin.prepare(info, snapshot)
    if prepared is SKIP:
        return {}
    found = {one.name: plugin.filter(info, one, prepared) for one in snapshot.nodes}
    return {name: rejected.reasons[0] for name, rejected in found.items() if isinstance(rejected, Reject)}


def ratings(plugin: Plugin, pod: Obj, snapshot: Snapshot) -> list[int] | None:
    """The scores of all nodes."""
    info = PodInfo.of(pod)
    prepared = plugin.prepare(info, snapshot)
    return None if prepared is SKIP else plugin.rate(info, snapshot.nodes, prepared)


def near(*terms: Obj) -> dict[str, Any]:
    return {"affinity": affinity("podAffinity", *terms)}


def away(*terms: Obj) -> dict[str, Any]:
    return {"affinity": affinity("podAntiAffinity", *terms)}


@pytest.mark.parametrize(
    ("pod", "placed", "expected"),
    [
        pytest.param(
            labelled("p", DB, **near(pod_term(ZONE, app="web"))),
            [(labelled("w", WEB), "a1")],
            {"b1": NEAR, "x1": NEAR},
            id="near a zone",
        ),
        pytest.param(
            labelled("p", WEB, **near(pod_term(ZONE, app="web"))), [], {"x1": NEAR}, id="first of its kind"
        ),
        pytest.param(
            labelled("p", DB, **near(pod_term(HOST, app="web"))),
            [],
            dict.fromkeys(("a1", "a2", "b1", "x1"), NEAR),
            id="nobody to be near",
        ),
        pytest.param(
            labelled("p", DB, **near(pod_term(ZONE, app="web"), pod_term(HOST, tier="1"))),
            [(labelled("w", WEB), "a1"), (labelled("v", {**WEB, "tier": "1"}), "b1")],
            {"a1": NEAR, "a2": NEAR, "x1": NEAR},
            id="all terms mean the same pod",
        ),
        pytest.param(
            labelled("p", WEB, **away(pod_term(HOST, app="web"))),
            [(labelled("w", WEB), "a1")],
            {"a1": AWAY},
            id="away from its like",
        ),
        pytest.param(
            labelled("p", DB),
            [(labelled("w", WEB, **away(pod_term(ZONE, app="db"))), "a1")],
            {"a1": UNWANTED, "a2": UNWANTED},
            id="unwanted by those there",
        ),
        pytest.param(
            labelled("p", DB, **away(pod_term(HOST, app="web"))),
            [(labelled("w", WEB, namespace="team"), "a1")],
            {},
            id="its own namespace only",
        ),
        pytest.param(
            labelled("p", DB, **away(pod_term(HOST, app="web", term={"namespaces": ["team"]}))),
            [(labelled("w", WEB, namespace="team"), "a1")],
            {"a1": AWAY},
            id="a namespace by name",
        ),
        pytest.param(
            labelled(
                "p",
                DB,
                **away(
                    pod_term(HOST, app="web", term={"namespaceSelector": {"matchLabels": {"kind": "team"}}})
                ),
            ),
            [(labelled("w", WEB, namespace="team"), "a1"), (labelled("v", WEB), "b1")],
            {"a1": AWAY},
            id="a namespace by its labels",
        ),
        pytest.param(
            labelled("p", {**WEB, "v": "2"}, **away(pod_term(HOST, app="web", term={"matchLabelKeys": ["v"]}))),
            [(labelled("w", {**WEB, "v": "1"}), "a1"), (labelled("u", {**WEB, "v": "2"}), "b1")],
            {"b1": AWAY},
            id="its own value of a label",
        ),
        pytest.param(
            labelled(
                "p", {**WEB, "v": "2"}, **away(pod_term(HOST, app="web", term={"mismatchLabelKeys": ["v"]}))
            ),
            [(labelled("w", {**WEB, "v": "1"}), "a1"), (labelled("u", {**WEB, "v": "2"}), "b1")],
            {"a1": AWAY},
            id="another value of a label",
        ),
    ],
)
def test_inter_pod_affinity_filter(pod: Obj, placed: Any, expected: dict[str, str]) -> None:
    """Each node is refused in upstream's words, or taken."""
    assert expected == refusals(InterPodAffinity(), pod, cluster(nodes(), placed, TEAM))


def test_preferred_affinity_of_both_sides_counts() -> None:
    """Wishes of the pod and of those placed, and their required affinity, make the score."""
    wish = {"weight": 10, "podAffinityTerm": pod_term(HOST, app="web")}
    wanted = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    shunned = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}
    placed = [(labelled("w", WEB), "a1"), (labelled("v", DB, **near(pod_term(HOST, app="new"))), "b1")]
    snapshot, new = cluster(nodes(), placed), {"app": "new"}
    assert ratings(InterPodAffinity(), labelled("p", new, affinity=wanted), snapshot) == [100, 0, 10, 0]
    assert ratings(InterPodAffinity(), labelled("p", new, affinity=shunned), snapshot) == [0, 90, 100, 90]
    assert ratings(InterPodAffinity(hard_weight=0), labelled("p", new), snapshot) is None


def constraint(key: str = ZONE, skew: int = 1, **rest: Any) -> Obj:
    made = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
    return {**made, "labelSelector": {"matchLabels": WEB}, **rest}


def spread(*constraints: Obj, labels: dict[str, str] = WEB, **rest: Any) -> Obj:
    return labelled("p", labels, topologySpreadConstraints=list(constraints), **rest)


@pytest.mark.parametrize(
    ("pod", "placed", "expected"),
    [
        pytest.param(spread(constraint()), [], {"x1": UNLABELLED}, id="empty"),
        pytest.param(
            spread(constraint()),
            [(labelled("w", WEB), "a1")],
            {"a1": SKEWED, "a2": SKEWED, "x1": UNLABELLED},
            id="one more in a zone",
        ),
        pytest.param(
            spread(constraint(), labels=DB), [(labelled("w", WEB), "a1")], {"x1": UNLABELLED}, id="not itself"
        ),
        pytest.param(
            spread(constraint(minDomains=3)),
            [(labelled("w", WEB), "a1"), (labelled("v", WEB), "b1")],
            {"a1": SKEWED, "a2": SKEWED, "b1": SKEWED, "x1": UNLABELLED},
            id="too few domains",
        ),
        pytest.param(
            spread(constraint(), nodeSelector={ZONE: "a"}),
            [(labelled("w", WEB), "a1")],
            {"x1": UNLABELLED},
            id="only nodes it may have count",
        ),
        pytest.param(
            spread(constraint(nodeAffinityPolicy="Ignore"), nodeSelector={ZONE: "a"}),
            [(labelled("w", WEB), "a1")],
            {"a1": SKEWED, "a2": SKEWED, "x1": UNLABELLED},
            id="every node counts",
        ),
        pytest.param(
            spread(constraint(matchLabelKeys=["v"]), labels={**WEB, "v": "2"}),
            [(labelled("w", {**WEB, "v": "1"}), "a1")],
            {"x1": UNLABELLED},
            id="its own revision only",
        ),
        pytest.param(
            spread(constraint(), constraint(HOST, 1)),
            [(labelled("w", WEB), "a1"), (labelled("v", WEB), "b1")],
            {"a1": SKEWED, "b1": SKEWED, "x1": UNLABELLED},
            id="two constraints",
        ),
    ],
)
def test_topology_spread_filter(pod: Obj, placed: Any, expected: dict[str, str]) -> None:
    """Each node is refused in upstream's words, or taken."""
    assert expected == refusals(PodTopologySpread(), pod, cluster(nodes(), placed))


def test_tainted_nodes_count_as_the_policy_says() -> None:
    """With nodeTaintsPolicy Honor a zone that the pod cannot enter is no domain."""
    tainted = node("c1", labels={ZONE: "c"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    placed = [(labelled("w", WEB), "a1"), (labelled("v", WEB), "b1")]
    snapshot = cluster([*nodes()[:3], tainted], placed)
    full = {"a1": SKEWED, "a2": SKEWED, "b1": SKEWED}
    assert full == refusals(PodTopologySpread(), spread(constraint()), snapshot)
    assert refusals(PodTopologySpread(), spread(constraint(nodeTaintsPolicy="Honor")), snapshot) == {}


def test_terminating_pods_do_not_count_for_spread() -> None:
    """A pod on its way out makes no zone fuller."""
    leaving = labelled("w", WEB)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    snapshot = cluster(nodes()[:3], [(leaving, "a1")])
    assert refusals(PodTopologySpread(), spread(constraint()), snapshot) == {}


def test_soft_constraints_prefer_the_emptier_domain() -> None:
    """ScheduleAnyway scores the fewest pods best, and nodes without the label worst."""
    soft = spread(constraint(whenUnsatisfiable="ScheduleAnyway"))
    snapshot = cluster(nodes(), [(labelled("w", WEB), "a1"), (labelled("v", WEB), "a2")])
    assert ratings(PodTopologySpread(), soft, snapshot) == [0, 0, 100, 0]


def test_pods_of_a_service_are_spread_by_default() -> None:
    """What a Service or a ReplicaSet selects is spread over nodes and zones; other pods are not."""
    meta = {"name": "web", "namespace": "default"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": WEB}}
    placed = [(labelled("w", WEB), "a1"), (labelled("v", WEB), "a1")]
    snapshot = cluster(nodes(), placed, service)
    rated = ratings(PodTopologySpread(), labelled("p", WEB), snapshot)
    assert rated is not None
    assert rated[0] < rated[1] < rated[2] <= rated[3]
    assert ratings(PodTopologySpread(), labelled("p", DB), snapshot) is None
    assert ratings(PodTopologySpread(defaults=()), labelled("p", WEB), snapshot) is None
