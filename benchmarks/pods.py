"""The kubelet's figures on a real containerd, beside bare CRI calls on the same containerd in the same run.

The cluster's side is a client outside, over HTTPS; the sides alternate (rivals.py tells what each does) after a
pod of each that warms, and medians are told with the machine's load. `--only` picks sections:

create   one pod from POST until a watcher has read it as Running. Limit: 1.15 times the bare calls.
delete   one pod, grace 0, from DELETE until its object and its sandbox are gone. Limit: 1.2 times.
burst    50 pods at once until all are Running. Limit: 1.1 times 50 by bare CRI at once.
status   a container's end, from containerd's deletion of its task (all its output has been read then; CRI
         notes the end later) until a watcher has read it. Limit: 50 ms. From the exit itself, which includes
         what containerd takes to delete the task, there is no limit.
idle     the CPU of the cluster's process with 50 quiet pods, in percent of a core. Limit: 2.
memory   what its resident memory grows by, for each of 50 pods. Limit: 200 KB.
"""

import argparse
import asyncio
import contextlib
import math
import os
import statistics
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import uvloop
from cluster import OwnCluster, need_root, started
from rivals import Sides, sides

from minikube_py.kubelet.node.machine import process_usage
from minikube_py.runtime.calls import NAMESPACE, Calls
from minikube_py.runtime.monitor import SUBSCRIBE
from minikube_py.runtime.proto import containerd_pb2 as containerd

ROUNDS, BURSTS, CROWD, ENDS = 15, 4, 50, 12
WINDOW, SETTLE = 20.0, 6.0
"""Seconds for which the idle process is measured, and that it has to become quiet."""
PAUSE = 0.2  # seconds between two measurements: the kernel takes down network namespaces in its own time
SHORT = ("/bin/busybox", "sh", "-c", "sleep 0.7; exit 3")
SECTIONS = ("create", "delete", "burst", "status", "idle", "memory")


@dataclass(frozen=True)
class Row:
    """One line of the table; `ours` and `rival` are (median, least, most), in `unit`."""

    title: str
    unit: str
    ours: Sequence[float]
    limit: float = math.inf
    rival: Sequence[float] = ()

    @property
    def figure(self) -> float:
        """What the limit is on: the ratio where there is a rival."""
        ours = statistics.median(self.ours)
        return ours / statistics.median(self.rival) if self.rival else ours

    def text(self) -> str:
        """As a line of Markdown."""
        ratio = f"{self.figure:.2f}" if self.rival else "-"
        load = " ".join(f"{load:.1f}" for load in os.getloadavg()[:2])
        limit = "-" if math.isinf(self.limit) else f"{self.limit:g}"
        held = "" if self.figure <= self.limit else " MISSED"
        sides = f"{spread(self.ours)} | {spread(self.rival) if self.rival else '-'}"
        return f"| {self.title}, {self.unit} | {sides} | {ratio} | {limit}{held} | {load} |"


def spread(values: Sequence[float]) -> str:
    """The median, and the range where there are several."""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g}-{max(values):.3g})"


def ms(seconds: Sequence[float]) -> list[float]:
    """In milliseconds."""
    return [1000 * value for value in seconds]


@dataclass(frozen=True)
class Rounds:
    """Seconds of each side for making and for taking down the same pods."""

    ours: tuple[list[float], list[float]] = ([], [])
    bare: tuple[list[float], list[float]] = ([], [])


async def alternate(both: Sides, pods: int, rounds: int) -> Rounds:
    """Measure the sides in turn, neither always first."""
    found = Rounds(([], []), ([], []))
    await both.bare.pods(1)
    await both.watcher.pods(1)
    for number in range(rounds):
        for side in ("bare", "ours") if number % 2 else ("ours", "bare"):
            spent = await (both.watcher if side == "ours" else both.bare).pods(pods)
            for kept, seconds in zip(getattr(found, side), spent, strict=True):
                kept.append(seconds)
            await asyncio.sleep(PAUSE)
    return found


async def one_pod(both: Sides, wanted: Sequence[str]) -> list[Row]:
    """create and delete."""
    found = await alternate(both, 1, ROUNDS)
    rows = [
        Row("create: one pod until Running", "ms", ms(found.ours[0]), 1.15, ms(found.bare[0])),
        Row("delete: one pod until gone", "ms", ms(found.ours[1]), 1.2, ms(found.bare[1])),
    ]
    return [row for row in rows if row.title.partition(":")[0] in wanted]


async def burst(both: Sides, rounds: int) -> list[Row]:
    """50 pods at once; their deletion is told without a limit of its own."""
    found = await alternate(both, CROWD, rounds)
    title = f"burst: {CROWD} pods at once"
    return [
        Row(f"{title} until Running", "ms", ms(found.ours[0]), 1.1, ms(found.bare[0])),
        Row(f"{title} until gone", "ms", ms(found.ours[1]), rival=ms(found.bare[1])),
    ]


@contextlib.asynccontextmanager
async def ends(cluster: OwnCluster) -> AsyncIterator[dict[tuple[str, str], float]]:
    """When containerd said so of each container: (exit or delete, id) > moment; filled while the block runs."""
    calls = Calls(f"unix:{cluster.profile.containerd_socket}")
    moments: dict[tuple[str, str], float] = {}

    async def follow() -> None:
        filters = [f'namespace=={NAMESPACE},topic=="/tasks/{what}"' for what in ("exit", "delete")]
        request = containerd.SubscribeRequest(filters=filters)
        async for told in calls.server_stream(SUBSCRIBE, request, containerd.Envelope):
            ended = containerd.TaskExit.FromString(told.event.value)  # both name the container first
            what = told.topic.rpartition("/")[2]
            moments[what, ended.container_id] = told.timestamp.seconds + told.timestamp.nanos / 1e9

    following = asyncio.create_task(follow())
    yield moments
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await calls.close()


async def status(cluster: OwnCluster, both: Sides) -> list[Row]:
    """From the runtime's event until the watcher has read the container as terminated."""
    late, whole = [], []
    async with ends(cluster) as moments:
        for _ in range(ENDS):
            (name,), _ = await both.watcher.create(1, SHORT)
            seen = await both.watcher.until([name], "ended")
            late.append(seen - moments["delete", both.watcher.ids[name]])
            whole.append(seen - moments["exit", both.watcher.ids[name]])
            await both.watcher.delete([name], 0)
    return [
        Row("status: an end, its output read, until seen", "ms", ms(late), 50),
        Row("status: an exit until seen", "ms", ms(whole)),
    ]


async def quiet(cluster: OwnCluster, both: Sides, wanted: Sequence[str]) -> list[Row]:
    """idle and memory, with the same pods."""
    names, _ = await both.watcher.create(1)  # what the first pod loads is not the pods' own
    await asyncio.sleep(1.0)
    before = process_usage(cluster.pid)["memoryBytes"]
    more, _ = await both.watcher.create(CROWD)
    await asyncio.sleep(SETTLE)
    begun = process_usage(cluster.pid)
    rows = [Row("memory: each of 50 pods", "KB", [(begun["memoryBytes"] - before) / CROWD / 1000], 200)]
    if "idle" in wanted:
        await asyncio.sleep(WINDOW)
        spent = process_usage(cluster.pid)["cpuSeconds"] - begun["cpuSeconds"]
        rows.append(Row("idle: 50 quiet pods", "% of a core", [100 * spent / WINDOW], 2))
    await both.watcher.delete([*names, *more], 0)
    return [row for row in rows if row.title.partition(":")[0] in wanted]


async def measure(cluster: OwnCluster, wanted: Sequence[str], bursts: int) -> None:
    """Measure and print the table, a line as soon as it is known."""
    print("| median (range) | minikube-py | bare CRI | ratio | limit | load of 1 and 5 min |")
    print("|---|---|---|---|---|---|", flush=True)
    async with sides(cluster) as both:
        if "memory" in wanted or "idle" in wanted:
            tell(await quiet(cluster, both, wanted))
        if "create" in wanted or "delete" in wanted:
            tell(await one_pod(both, wanted))
        if "status" in wanted:
            tell(await status(cluster, both))
        if "burst" in wanted:
            tell(await burst(both, bursts))


def tell(rows: Sequence[Row]) -> None:
    """Print lines of the table."""
    for row in rows:
        print(row.text(), flush=True)


def main() -> None:
    """Run on a cluster of its own."""
    parser = argparse.ArgumentParser(description="Measure the kubelet beside bare CRI calls.")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section (may be given again)")
    parser.add_argument("--bursts", type=int, default=BURSTS, help=f"bursts of each side (default {BURSTS})")
    given = parser.parse_args()
    need_root()
    with started() as cluster:
        uvloop.run(measure(cluster, given.only or SECTIONS, given.bursts))


if __name__ == "__main__":
    main()
