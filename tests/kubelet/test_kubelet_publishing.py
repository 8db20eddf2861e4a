"""What the kubelet tells of many pods at once: held back statuses, its own writes, probes in the same turn."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.prober.probes import PodProbes, Watcher
from minikube_py.kubelet.publish import StatusPublisher, is_echo, pause_for, quiet_for
from minikube_py.kubelet.volumes.atomic import write_files
from minikube_py.kubelet.volumes.base import File
from minikube_py.meta.objects import Obj, dig
from minikube_py.runtime.base import Container, ExecResult
from minikube_py.testing.inprocess import local_cluster

BEFORE: Obj = {
    "metadata": {"name": "web", "uid": "u", "resourceVersion": "7", "managedFields": [1]},
    "spec": {"containers": [{"name": "main"}]},
    "status": {"phase": "Pending"},
}
TOLD: Obj = {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}


def pod(metadata: Obj | None = None, spec: Obj | None = None, status: Obj = TOLD) -> Obj:
    """The pod after a write, which changes these besides its revision."""
    written = {"resourceVersion": "8", "managedFields": [2]}
    return {
        "metadata": {**BEFORE["metadata"], **written, **(metadata or {})},
        "spec": {**BEFORE["spec"], **(spec or {})},
        "status": status,
    }


@pytest.mark.parametrize(
    ("after", "told", "expected"),
    [
        (pod(), TOLD, True),
        (pod(), {}, False),
        (pod(status={**TOLD, "conditions": [{"type": "Gate"}]}), TOLD, False),
        (pod({"deletionTimestamp": "2026-01-01T00:00:00Z"}), TOLD, False),
        (pod({"labels": {"a": "b"}}), TOLD, False),
        (pod(spec={"containers": []}), TOLD, False),
        (pod(status={"phase": "Failed"}), {"phase": "Failed"}, False),
    ],
    ids=["own", "nothing-told", "a-gate", "deleted", "labelled", "changed", "final"],
)
def test_own_writes_are_known(after: Obj, told: Obj, expected: bool) -> None:
    """Only the echo of a worker's own status is none of its business."""
    assert is_echo(BEFORE, after, told) is expected


def test_the_beginning_of_a_deadline_is_no_echo() -> None:
    """A pod with a deadline must see when it has begun."""
    before = {**BEFORE, "spec": {**BEFORE["spec"], "activeDeadlineSeconds": 5}}
    assert not is_echo(before, {**pod(), "spec": before["spec"]}, TOLD)


@pytest.mark.parametrize(
    ("starting", "seconds"), [(0, 1.0), (1, 1.0), (2, 1.25), (11, 3.5), (17, 5.0), (500, 5.0)]
)
def test_the_quiet_of_a_start(starting: int, seconds: float) -> None:
    """One pod's start is told of after a second, that of one among many later."""
    assert quiet_for(starting) == pytest.approx(seconds)


@pytest.mark.parametrize(("starting", "seconds"), [(0, 0.0), (8, 0.0), (9, 0.2)])
def test_events_wait_in_a_crowd_only(starting: int, seconds: float) -> None:
    """Events are written at once, unless more pods start than a small workload has."""
    assert pause_for([f"pod-{number}" for number in range(starting)]) == seconds


class Told:
    """A publisher of one pod, with the messages that it has stored."""

    def __init__(self, client: Any, clock: VirtualClock, stored: Obj) -> None:
        self.starting: set[str] = {"u"}
        self.messages: list[str] = []
        self._pod, self._status = stored, {**stored["status"], "message": "on its way"}
        means = (client, clock, self.starting)
        self.publisher = StatusPublisher(means, lambda: (self._pod, self._status), self._take)

    def _take(self, stored: Obj) -> None:
        self._pod = stored
        self.messages.append(dig(stored, "status.message"))

    def say(self, message: str) -> None:
        self._status = {**self._status, "message": message}
        self.publisher.changed()


async def told(clock: VirtualClock) -> Told:
    clients = await local_cluster(clock=clock)
    spec = {"containers": [{"name": "main", "image": "app:1"}], "automountServiceAccountToken": False}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }
    return Told(clients.named("kubelet"), clock, await clients.named("test").create(Pod, body))


async def test_a_start_among_many_is_told_later() -> None:
    """Pods that begin after this one lengthen its quiet; in the end what there is is told."""
    clock = VirtualClock()
    one = await told(clock)
    async with Tasks("test") as tasks:
        tasks.spawn(one.publisher.run(), "status")
        one.publisher.hold()
        one.say("creating")
        one.starting |= {f"other-{number}" for number in range(5)}
        await clock.advance(2.2)
        assert one.messages == []
        await clock.advance(0.1)
        assert one.messages == ["creating"]


async def test_the_end_of_a_start_is_told_at_once() -> None:
    """However many others start, a start that has ended is told, in one write."""
    clock = VirtualClock()
    one = await told(clock)
    async with Tasks("test") as tasks:
        tasks.spawn(one.publisher.run(), "status")
        one.starting |= {f"other-{number}" for number in range(50)}
        one.publisher.hold()
        one.say("creating")
        await clock.advance(4)
        one.say("running")
        one.publisher.release()
        await clock.advance(0)
        assert one.messages == ["running"]


class Commands:
    """In place of a runtime's streams: every command succeeds, and its moment is noted."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.moments: list[float] = []

    async def exec_sync(self, id: str, command: Any, timeout: float) -> ExecResult:
        self.moments.append(self.clock.monotonic())
        return ExecResult(b"", b"", 0)


async def test_probes_of_many_pods_share_their_moments() -> None:
    """Whenever pods begin, their probes are asked at the same sixteenths of a second, one in each period."""
    clock = VirtualClock()
    commands = Commands(clock)
    pods = []
    for number in range(4):
        await clock.advance(0.013)
        spec = {"name": "main", "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 2}}
        container = Container(f"c{number}", "s", "main", 0, "running", "", "", 0.0, 0.0)
        probes = PodProbes(f"pod-{number}", commands, clock, Watcher(lambda: None, lambda *_: None))  # type: ignore[arg-type]
        probes.sync({container.id: (container, spec)}, "127.0.0.1", {})
        pods.append(probes)
        await clock.advance(0)
    await clock.advance(6)
    for probes in pods:
        await probes.close()
    later = [round(16 * moment, 6) for moment in commands.moments[4:]]
    assert later == [float(int(ticks)) for ticks in later]
    assert (len(later), len(set(later))) == (12, 3)


def test_content_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Files in folders appear with their modes; what new content lacks, and what carried it, is gone."""
    first = {"a/b/c": File(b"deep", 0o400), "x": File(b"old" * 50_000, 0o644)}
    assert write_files(tmp_path, first, datetime(2026, 1, 1, tzinfo=UTC))
    assert [(tmp_path / name).read_bytes() for name in first] == [b"deep", b"old" * 50_000]
    assert oct((tmp_path / "a/b/c").stat().st_mode & 0o7777) == "0o400"
    assert not write_files(tmp_path, first, datetime(2026, 1, 2, tzinfo=UTC))
    assert write_files(tmp_path, {"y": File(b"", 0o600)}, datetime(2026, 1, 3, tzinfo=UTC))
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert [name for name in names if not name.startswith("..2026_01_03")] == ["..data", "y"]
    assert (tmp_path / "y").read_bytes() == b""


async def test_the_loop_is_free_between_probes() -> None:
    """A probe task ends with its pod, also while it waits for its moment."""
    clock = VirtualClock()
    spec = {"name": "main", "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
    container = Container("c", "s", "main", 0, "running", "", "", 0.0, 0.0)
    commands = Commands(clock)
    probes = PodProbes("pod", commands, clock, Watcher(lambda: None, lambda *_: None))  # type: ignore[arg-type]
    probes.sync({container.id: (container, spec)}, "127.0.0.1", {})
    await clock.advance(0)
    await probes.close()
    await clock.advance(5)
    await asyncio.sleep(0)
    assert len(commands.moments) == 1
