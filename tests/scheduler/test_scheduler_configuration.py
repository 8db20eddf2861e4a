"""Profiles of a KubeSchedulerConfiguration, and the scoring strategies they choose."""

from pathlib import Path
from typing import Any

import pytest
from builders import node_info, pod_info

from minikube_py.scheduler.configuration import BadConfiguration, Profile, load, plugins_of, profiles_from
from minikube_py.scheduler.plugins.node_affinity import NodeAffinity
from minikube_py.scheduler.plugins.node_resources_fit import NodeResourcesFit, Scoring, broken_line
from minikube_py.scheduler.snapshot import Snapshot

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
SSD: Any = {
    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]},
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {
            "weight": 9,
            "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
        }
    ],
}
PACKING = {
    "kind": "KubeSchedulerConfiguration",
    "percentageOfNodesToScore": 70,
    "profiles": [
        {"schedulerName": "default-scheduler"},
        {
            "schedulerName": "packing",
            "plugins": {
                "score": {
                    "disabled": [{"name": "ImageLocality"}],
                    "enabled": [{"name": "NodeResourcesFit", "weight": 5}],
                },
                "postFilter": {"disabled": [{"name": "DefaultPreemption"}]},
            },
            "pluginConfig": [
                {
                    "name": "NodeResourcesFit",
                    "args": {
                        "scoringStrategy": {
                            "type": "MostAllocated",
                            "resources": [{"name": "cpu", "weight": 3}],
                        }
                    },
                },
                {"name": "PodTopologySpread", "args": {"defaultingType": "List"}},
                {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 7}},
                {"name": "NodeAffinity", "args": {"addedAffinity": SSD}},
            ],
            "percentageOfNodesToScore": 30,
        },
    ],
}


def test_profiles() -> None:
    """Each profile has its name, its plugins without those disabled, their weights and arguments."""
    default, packing = profiles_from(PACKING)
    assert default == Profile(percentage=70)
    scoring = Scoring("MostAllocated", (("cpu", 3),))
    assert (packing.name, packing.scoring, packing.spread) == ("packing", scoring, ())
    assert (packing.hard_affinity_weight, packing.preempts, default.preempts) == (7, False, True)
    assert (packing.percentage, packing.added_affinity) == (30, SSD)
    names = {type(plugin).__name__: plugin.weight for plugin in plugins_of(packing)}
    assert ("ImageLocality" in names, names["NodeResourcesFit"], names["TaintToleration"]) == (False, 5, 3)


def test_a_file_is_read(tmp_path: Path) -> None:
    """A configuration comes from a file; without one there is the default profile."""
    file = tmp_path / "scheduler.yaml"
    file.write_text("kind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: mine\n")
    assert (load(str(file)), load("")) == ((Profile(name="mine"),), (Profile(),))
    file.write_text("- a list\n")
    with pytest.raises(BadConfiguration):
        load(str(file))


@pytest.mark.parametrize(
    "configuration",
    [
        {"kind": "ConfigMap"},
        {"kind": "KubeSchedulerConfiguration", "profiles": [{}, {}]},
        {"kind": "KubeSchedulerConfiguration", "profiles": [{"pluginConfig": [{}]}]},
        {"kind": "KubeSchedulerConfiguration", "percentageOfNodesToScore": 101},
    ],
    ids=["kind", "names", "shape", "percentage"],
)
def test_bad_configurations(configuration: Any) -> None:
    """What cannot be used is refused."""
    with pytest.raises(BadConfiguration):
        profiles_from(configuration)


@pytest.mark.parametrize(
    ("labels", "wanted", "expected"),
    [
        ({}, {}, "node(s) didn't match scheduler-enforced node affinity"),
        ({"disk": "hdd"}, {"zone": "a"}, "node(s) didn't match Pod's node affinity/selector"),
        ({"disk": "hdd"}, {}, 0),
        ({"disk": "ssd", "zone": "a"}, {"zone": "a"}, 9),
    ],
    ids=["not-added", "not-own", "plain", "preferred"],
)
def test_added_affinity(labels: dict[str, str], wanted: dict[str, str], expected: int | str) -> None:
    """An affinity of the configuration holds beside the pod's own, and its wishes count."""
    plugin, pod, node = NodeAffinity(SSD), pod_info("p", nodeSelector=wanted), node_info("n", labels=labels)
    prepared = plugin.prepare(pod, Snapshot())
    refusal = plugin.filter(pod, node, prepared)
    assert expected == (refusal.reasons[0] if refusal else plugin.score(pod, node, prepared))


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        (Scoring(), [75, 25]),
        (Scoring("MostAllocated"), [25, 75]),
        (Scoring("RequestedToCapacityRatio", shape=((0, 0), (100, 10))), [20, 70]),
        (Scoring("MostAllocated", (("cpu", 1), ("absent", 9))), [25, 75]),
    ],
)
def test_scoring_strategies(scoring: Scoring, expected: list[int]) -> None:
    """An empty and a half full node of 4 CPUs and 4Gi, for a pod of 1 CPU and 1Gi."""
    empty, full = node_info("e", cpu="4"), node_info("f", cpu="4")
    full.add(pod_info("a", cpu="2", memory="2Gi"))
    plugin = NodeResourcesFit(scoring)
    pod = pod_info("p", cpu="1", memory="1Gi")
    assert expected == [plugin.score(pod, node, None) for node in (empty, full)]


@pytest.mark.parametrize(("at", "expected"), [(0, 0), (25, 5), (50, 10), (75, 5), (100, 0), (200, 0)])
def test_broken_line(at: int, expected: int) -> None:
    """The score follows the line between the shape's points."""
    assert expected == broken_line(((0, 0), (50, 10), (100, 0)), at)
