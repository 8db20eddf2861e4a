"""Node pressure: thresholds, ranking, evictions and image garbage collection, with injected readings."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kubelet_node import NODE, Node, kubelet_running, pod_object, settle

from minikube_py.kinds.core.node import Node as NodeKind
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.cm.oom import system_oom
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.ranking import PodUse, Thresholds, message, rank, refusal
from minikube_py.kubelet.eviction.signals import pods_memory, read_signals
from minikube_py.kubelet.eviction.thresholds import (
    IMAGEFS,
    MEMORY,
    NODEFS,
    PODS_MEMORY,
    EvictionConfig,
    Observed,
    Threshold,
    parsed,
    periods,
    thresholds,
)
from minikube_py.kubelet.images.image_gc import (
    ImageGcConfig,
    Known,
    chosen,
    remembered,
    to_free,
    too_old,
    unused,
)
from minikube_py.kubelet.server.configz import configuration
from minikube_py.kubelet.stats.usage import Use
from minikube_py.meta.objects import Obj, condition_is, dig
from minikube_py.runtime.base import Image

GIB, MIB = 1 << 30, 1 << 20
PLENTY = {MEMORY: Observed(8 * GIB, 4 * GIB), NODEFS: Observed(100 * GIB, 50 * GIB)}
LOW_MEMORY = PLENTY | {MEMORY: Observed(8 * GIB, 50 * MIB)}
LOW_DISK = PLENTY | {NODEFS: Observed(100 * GIB, GIB)}


def pod(name: str, memory: str = "0", **spec: Any) -> Obj:
    """A pod whose container asks for so much memory."""
    container = {"name": "main", "resources": {"requests": {"memory": memory}}}
    meta = {"name": name, "namespace": "default", "uid": name}
    return {"metadata": meta, "spec": {"containers": [container], **spec}}


@pytest.mark.parametrize(
    ("value", "available", "known", "met"),
    [
        ("100Mi", 99 * MIB, False, True),
        ("100Mi", 100 * MIB, False, False),
        ("10%", 101 * MIB, False, True),
        ("10%", 103 * MIB, False, False),
        ("10%", 103 * MIB, True, True),
        ("10%", 203 * MIB, True, False),
    ],
)
def test_thresholds_are_amounts_or_shares(value: str, available: int, known: bool, met: bool) -> None:
    """A threshold that was met stays so until the least to reclaim is available besides."""
    threshold = Threshold(MEMORY, value, reclaim="100Mi")
    assert threshold.is_met(Observed(GIB, available), known=known) == met


@pytest.mark.parametrize(
    "text", ["memory.available", "memory.free<1Gi", "memory.available<lots", "nodefs.available<200%"]
)
def test_impossible_thresholds_are_refused(text: str) -> None:
    """Unknown signals and values that make no sense are errors."""
    with pytest.raises(ValueError):
        parsed(text)


def test_thresholds_as_flags_tell_them() -> None:
    """Flags give thresholds and grace periods; a share of nothing or all turns a threshold off."""
    config = EvictionConfig(
        parsed("nodefs.available<0%,memory.available<1Gi"),
        parsed("memory.available<2Gi"),
        periods("memory.available=1m30s"),
    )
    hard, soft = Threshold(MEMORY, "1Gi"), Threshold(MEMORY, "2Gi", 90.0)
    assert thresholds(config) == [hard, soft, Threshold(PODS_MEMORY, "1Gi")]
    with pytest.raises(ValueError, match="grace period must be specified"):
        thresholds(EvictionConfig(soft={MEMORY: "1Gi"}))


def test_soft_thresholds_wait_and_conditions_stay() -> None:
    """A soft threshold is acted on after its grace; the condition outlasts its cause by five minutes."""
    watch = Thresholds(EvictionConfig(hard={}, soft={MEMORY: "1Gi"}, soft_grace={MEMORY: 60.0}))
    looks = [watch.look(LOW_MEMORY, now) for now in (0.0, 59.0, 60.0)]
    assert [[t.signal for t in look.due] for look in looks] == [[], [], [MEMORY]]
    assert {look.pressures for look in looks} == {frozenset({"MemoryPressure"})}
    assert watch.look(PLENTY, 359.0).pressures == {"MemoryPressure"}
    assert watch.look(PLENTY, 360.0).pressures == frozenset()
    assert watch.look(LOW_MEMORY, 400.0).due == ()


@pytest.mark.parametrize(
    ("resource", "uses", "expected"),
    [
        ("memory", [(pod("asked", "1Gi"), 900), (pod("over", "1Mi"), 2)], ["over", "asked"]),
        ("memory", [(pod("vip", priority=10), 900), (pod("low"), 20)], ["low", "vip"]),
        ("memory", [(pod("small"), 20), (pod("large"), 900)], ["large", "small"]),
        ("memory", [(pod("system", priority=2_000_000_000), 900), (pod("own"), 1)], ["own"]),
        ("pids", [(pod("few"), 2), (pod("many"), 90), (pod("vip", priority=1), 900)], ["many", "few", "vip"]),
    ],
)
def test_ranking(resource: str, uses: list[tuple[Obj, int]], expected: list[str]) -> None:
    """Who uses more than it asked for goes first, then by priority, then by how much; critical pods stay."""
    found = rank(resource, [PodUse(subject, {resource: used * MIB}) for subject, used in uses])
    assert [use.pod["metadata"]["name"] for use in found] == expected


def test_message_names_threshold_and_containers() -> None:
    """The message tells what was short, and which containers used more than they asked for."""
    use = PodUse(pod("web", "10Mi"), {}, {"main": {"memory": 20 * MIB, "ephemeral-storage": 4096}})
    text = message(Threshold(MEMORY, "100Mi"), LOW_MEMORY, use)
    expected = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
    assert text == expected
    text = message(Threshold(NODEFS, "10%"), LOW_DISK, use)
    assert text == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 1Gi. "
        "Container main was using 4Ki, request is 0, has larger consumption of ephemeral-storage. "
    )


TOLERATES = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("subject", "pressures", "qos", "refused"),
    [
        (pod("web"), [], "BestEffort", ""),
        (pod("web"), ["MemoryPressure"], "BestEffort", "The node had condition: [MemoryPressure]. "),
        (pod("web"), ["MemoryPressure"], "Burstable", ""),
        (pod("web", tolerations=TOLERATES), ["MemoryPressure"], "BestEffort", ""),
        (pod("web"), ["DiskPressure"], "Guaranteed", "The node had condition: [DiskPressure]. "),
        (pod("web", priority=2_000_000_000), ["DiskPressure"], "BestEffort", ""),
        (
            pod("web"),
            ["PIDPressure", "MemoryPressure"],
            "Burstable",
            "The node had condition: [MemoryPressure PIDPressure]. ",
        ),
    ],
)
def test_admission_under_pressure(subject: Obj, pressures: list[str], qos: str, refused: str) -> None:
    """Memory pressure refuses pods that asked for nothing, other pressures all but critical ones."""
    assert refusal(subject, pressures, qos) == refused


def test_signals_of_this_machine(tmp_path: Path) -> None:
    """Every signal is read, and nothing is more than there is."""
    found = read_signals(tmp_path, tmp_path)
    assert {MEMORY, NODEFS, IMAGEFS} <= found.keys()
    assert all(0 <= seen.available <= seen.capacity for seen in found.values())


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (None, {}),
        (Use(working_set=GIB), {}),
        (Use(working_set=GIB, memory_limit=4 * GIB), {PODS_MEMORY: Observed(4 * GIB, 3 * GIB)}),
        (Use(working_set=2 * GIB, memory_limit=GIB), {PODS_MEMORY: Observed(GIB, 0)}),
    ],
)
def test_memory_of_all_pods(use: Use | None, expected: dict[str, Observed]) -> None:
    """What pods have left counts where their cgroup is limited."""
    assert pods_memory(use) == expected


@dataclass
class Pressed:
    """A node whose readings the test sets."""

    node: Node
    seen: dict[str, Observed]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass ten seconds at a time, and everything act that can."""
        for _ in range(int(seconds // 10)):
            await self.node.clock.advance(10)
            await settle()

    async def condition(self, kind: str) -> bool:
        return condition_is(await self.node.client.get(NodeKind, NODE), kind)


@pytest.fixture
async def pressed(idle_node: Node) -> AsyncIterator[Pressed]:
    """A running node with plenty of everything, and the usual hard thresholds."""
    config = replace(idle_node.config, eviction=EvictionConfig())
    kubelet = Kubelet(idle_node.client, idle_node.runtime, idle_node.clock, config)
    made = Pressed(replace(idle_node, config=config, kubelet=kubelet), dict(PLENTY))
    kubelet.read_signals = lambda: made.seen
    async with kubelet_running(made.node):
        yield made


async def test_pods_are_evicted_before_their_cgroup_is_full(pressed: Pressed) -> None:
    """A node with memory left evicts where its pods have used up what they may have together."""
    node = pressed.node
    await node.client.create(Pod, pod_object("eater"))
    await node.running("eater")
    pressed.seen = PLENTY | {PODS_MEMORY: Observed(GIB, 50 * MIB)}
    await pressed.pass_time(20)
    gone = await node.until(lambda found: dig(found, "status.phase") == "Failed", "eater")
    start = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main "
    assert (gone["status"]["reason"], gone["status"]["message"].startswith(start)) == ("Evicted", True)
    assert await pressed.condition("MemoryPressure")


async def test_pods_are_evicted_one_at_a_time(pressed: Pressed) -> None:
    """Under memory pressure the least important pod fails as Evicted, and BestEffort pods are refused."""
    node = pressed.node
    sized = {"name": "main", "image": "app:1", "resources": {"requests": {"memory": "1Gi"}}}
    await node.client.create(Pod, pod_object("kept", containers=[sized]))
    await node.client.create(Pod, pod_object("spared", priority=2_000_000_000))
    await node.client.create(Pod, pod_object("first"))
    for name in ("kept", "spared", "first"):
        await node.running(name)
    pressed.seen = dict(LOW_MEMORY)
    await node.clock.advance(10)
    await settle()
    pressed.seen = dict(PLENTY)
    await pressed.pass_time(10)
    gone = await node.until(lambda found: dig(found, "status.phase") == "Failed", "first")
    assert gone["status"]["reason"] == "Evicted"
    assert gone["status"]["message"].startswith(
        "The node was low on resource: memory. Threshold quantity: 100Mi"
    )
    target = next(c for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    assert [dig(await node.pod(name), "status.phase") for name in ("kept", "spared")] == ["Running"] * 2
    told = [reason for reason, _ in node.events(about="Node")]
    assert told[-2:] in (
        ["EvictionThresholdMet", "NodeHasInsufficientMemory"],
        ["NodeHasInsufficientMemory", "EvictionThresholdMet"],
    )
    await node.client.create(Pod, pod_object("late"))
    late = await node.until(lambda found: dig(found, "status.phase") == "Failed", "late")
    assert late["status"]["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
    assert await pressed.condition("MemoryPressure")
    await pressed.pass_time(310)
    assert not await pressed.condition("MemoryPressure")


async def test_unused_images_go_before_pods(pressed: Pressed) -> None:
    """A full disk costs the images that nothing uses; no pod is evicted where that is enough."""
    node = pressed.node
    await node.client.create(Pod, pod_object("web"))
    await node.running("web")
    before = {tag for image in await node.runtime.images.list() for tag in image.tags}
    images = node.runtime.images
    remove = images.remove

    async def removing(reference: str) -> None:
        pressed.seen = dict(PLENTY)
        await remove(reference)

    images.remove = removing  # type: ignore[method-assign]
    pressed.seen = dict(LOW_DISK)
    await pressed.pass_time(20)
    left = {tag for image in await node.runtime.images.list() for tag in image.tags}
    assert len(before) - len(left) == 2
    assert dig(await node.pod("web"), "status.phase") == "Running"
    assert await pressed.condition("DiskPressure")


def image(name: str, size: int = 10, *, pinned: bool = False) -> Image:
    """An image of so many bytes."""
    return Image(f"sha256:{name}", [f"{name}:1"], [], size, pinned=pinned)


def test_image_collection() -> None:
    """Images go in the order of their last use; young, used and pinned ones stay."""
    config, images = ImageGcConfig(), [image("a"), image("b"), image("c"), image("pause", pinned=True)]
    known = remembered({}, images, {"a:1"}, 1000.0)
    known = remembered(known, images, {"sha256:b"}, 1200.0)
    candidates = unused(known.values(), 1200.0)
    assert [each.image.id for each in candidates] == ["sha256:c", "sha256:a"]
    assert [each.image.id for each in chosen(config, candidates, 1, 1200.0)] == ["sha256:c"]
    assert [each.image.id for each in chosen(config, candidates, 15, 1200.0)] == ["sha256:c", "sha256:a"]
    assert chosen(config, candidates, 15, 1119.0) == []
    assert too_old(config, candidates, 9e9) == []
    assert len(too_old(replace(config, maximum_age=100.0), candidates, 1200.0)) == 2
    assert known["sha256:b"] == Known(images[1], 1000.0, 1200.0)


@pytest.mark.parametrize(
    ("available", "expected"), [(50, 0), (16, 0), (15, 5), (5, 15)], ids=["half", "84%", "85%", "95%"]
)
def test_how_much_to_free(available: int, expected: int) -> None:
    """From 85% on, images go until 80% are used."""
    assert to_free(ImageGcConfig(), 100, available) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task=python3,pid=7,uid=0", ""),
        (
            "6,1,1,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=my app,pid=42,uid=0",
            "System OOM encountered, victim process: my app, pid: 42",
        ),
        ("6,1,1,-;eth0: link is up", ""),
    ],
)
def test_system_oom(record: str, expected: str) -> None:
    """Kills for want of memory on the whole machine are told, those within a container's limit are not."""
    assert system_oom(record) == expected


def test_configz_names_what_is_configured() -> None:
    """The configuration is shown by the names of KubeletConfiguration."""
    config = KubeletConfig("node-1", "10.0.0.1", Path("/k"), Path("/l"), max_pods=7)
    shown = configuration(config)["kubeletconfig"]
    assert (shown["maxPods"], shown["evictionHard"][MEMORY]) == (7, "100Mi")
    assert shown["evictionPressureTransitionPeriod"] == "5m0s"
