"""What controllers do for each change of a pod does not grow with the pods that it does not concern."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from minikube_py.client.base import Change
from minikube_py.client.cache import Table, Tables
from minikube_py.controllers.daemonset import DaemonSetController
from minikube_py.controllers.disruption import DisruptionController
from minikube_py.controllers.endpointports import AT_ONCE, LONGEST_PAUSE, pause
from minikube_py.controllers.endpoints import EndpointsController
from minikube_py.controllers.endpointslice import EndpointSliceController
from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.controllers.selected import POD_LABELS, selected_pods
from minikube_py.controllers.standings import Standings, standing_of
from minikube_py.kinds.apps.daemonset import DaemonSet
from minikube_py.kinds.apps.replicaset import ReplicaSet
from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.meta.selectors import NOTHING, parse_labels

LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "ok"}]}}
SPEC = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}


class Counting(Tables):
    """A cache of pods that counts those it hands out."""

    def __init__(self, pods: Iterable[Obj]) -> None:
        self._pods = Table(Pod)
        for pod in pods:
            self._pods.put(pod)
        self.add_index(*POD_LABELS)
        self.revision, self.read = 0, 0

    def _table(self, kind: Kind) -> Table:
        return self._pods

    def _count(self, found: Sequence[Obj]) -> Sequence[Obj]:
        self.read += len(found)
        return found

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        return self._count(super().list(kind, namespace))

    def indexed(self, kind: Kind, index: str, value: str) -> Sequence[Obj]:
        return self._count(super().indexed(kind, index, value))


def pod(number: int) -> Obj:
    """One of a thousand: ten of each app, half of them of tier a."""
    labels = {"app": f"app-{number // 10}", "tier": "ab"[number % 2]}
    return {"metadata": {"name": f"p{number:03}", "namespace": "default", "uid": str(number), "labels": labels}}


@pytest.mark.parametrize(
    ("selector", "found", "most"),
    [
        ("app=app-7", range(70, 80), 10),
        ("app=app-7,tier=a", range(70, 80, 2), 510),
        ("app in (app-7),other!=x", range(70, 80), 10),
        ("app=nobody", (), 0),
        ("app in (app-1,app-2)", range(10, 30), 1000),
    ],
)
def test_selected_pods(selector: str, found: Iterable[int], most: int) -> None:
    """The pods of a selector are found among those that share a label with it."""
    cache = Counting(map(pod, range(1000)))
    names = sorted(map(name_of, selected_pods(cache, "default", parse_labels(selector))))
    assert names == [f"p{number:03}" for number in found]
    assert cache.read <= most


def test_nothing_selects_nothing() -> None:
    """A selector of nothing looks at no pod."""
    cache = Counting(map(pod, range(10)))
    assert (selected_pods(cache, "default", NOTHING), cache.read) == ([], 0)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0.0), (AT_ONCE, 0.0), (5000, LONGEST_PAUSE / 2), (50_000, LONGEST_PAUSE)]
)
def test_changes_of_large_services_are_gathered(size: int, expected: float) -> None:
    """A look at the pods of a large service is for the changes of some time."""
    assert pause(size) == expected


def test_standings_heed_the_labels_that_matter() -> None:
    """Pods that differ in other labels stand alike and their changes say so; what is counted follows the labels
    that matter, until their controller is gone."""
    standings, many = Standings("ReplicaSet"), [owned_pod(n, app="a", n=str(n)) for n in range(50)]
    for one in many:
        standings.note(Change("ADDED", Pod, one))
    assert len(standings.of("me")) == 50
    standings.heed("me", ["app"], lambda: many)
    assert standings.of("me") == {standing_of(many[0], ["app"]): 50}
    other, gone = owned_pod(0, app="a", n="other"), owned_pod(0, app="b", n="other")
    changes = [Change("MODIFIED", Pod, other, many[0]), Change("MODIFIED", Pod, gone, other)]
    assert [standings.note(change) for change in changes] == [False, True]
    assert sorted(standings.of("me").values()) == [1, 49]
    standings.heed("me", None, lambda: [gone, *many[1:]])
    assert len(standings.of("me")) == 50


def test_pods_count_once_they_are_noted() -> None:
    """Where the labels that matter change while pods are still being told of, those that follow count once."""
    standings, many = Standings("ReplicaSet"), [owned_pod(n, app="a") for n in range(5)]
    standings.note(Change("ADDED", Pod, many[0]))
    standings.heed("me", ["app"], lambda: many)
    before = dict(standings.of("me"))
    for one in many[1:]:
        standings.note(Change("ADDED", Pod, one))
    standing = standing_of(many[0], ["app"])
    assert (before, standings.of("me")) == ({standing: 1}, {standing: 5})


def owned_pod(number: int, **labels: str) -> Obj:
    """A pod that a ReplicaSet controls."""
    made = pod(number)
    refs = [{"kind": "ReplicaSet", "uid": "me", "controller": True}]
    return {**made, "metadata": {**made["metadata"], "labels": labels, "ownerReferences": refs}}


async def test_changes_that_make_no_difference_run_nobody(world: Any) -> None:
    """A label or an annotation of a pod that nobody asks for runs none of those that count pods."""
    await world.add_node("n1")
    port = {"ports": [{"port": 80}], "selector": LABELS}
    await world.create(ReplicaSet, {"metadata": named("web"), "spec": {"replicas": 3, **SPEC}})
    await world.create(Service, {"metadata": named("web"), "spec": port})
    await world.create(DaemonSet, {"metadata": named("each"), "spec": daemon()})
    budget = {"minAvailable": 1, "selector": {"matchLabels": LABELS}}
    await world.create(PodDisruptionBudget, {"metadata": named("web"), "spec": budget})
    counting = [
        world.controller(cls) for cls in (ReplicaSetController, DaemonSetController, DisruptionController)
    ]
    ends = [world.controller(cls) for cls in (EndpointsController, EndpointSliceController)]
    before = [one.metrics.runs for one in (*counting, *ends)]
    for one in world.pods():
        await world.patch(Pod, name_of(one), {"metadata": {"annotations": {"note": "x"}}})
    assert [one.metrics.runs for one in (*counting, *ends)] == before


async def test_labels_that_are_asked_for_are_heeded(world: Any) -> None:
    """A pod that loses the label it is selected by is replaced, and leaves the endpoints."""
    await world.add_node("n1")
    await world.create(ReplicaSet, {"metadata": named("web"), "spec": {"replicas": 2, **SPEC}})
    spec = {"ports": [{"port": 80}], "selector": LABELS}
    await world.create(Service, {"metadata": named("web"), "spec": spec})
    lost = name_of(world.pods()[0])
    await world.patch(Pod, lost, {"metadata": {"labels": {"n": "1"}}})
    assert len(world.pods()) == 2
    await world.patch(Pod, lost, {"metadata": {"labels": {"app": "other"}}})
    assert len(world.pods()) == 3
    [subset] = world.the(Endpoints, "web")["subsets"]
    assert lost not in [address["targetRef"]["name"] for address in subset["addresses"]]
    assert len(subset["addresses"]) == 2


def named(name: str) -> Obj:
    return {"name": name, "namespace": "default"}


def daemon() -> Obj:
    """The spec of a DaemonSet whose pods the others do not select."""
    labels = {"app": "each"}
    template = {**TEMPLATE, "metadata": {"labels": labels}}
    return {"selector": {"matchLabels": labels}, "template": template}
