"""NodePorts: two pods of a node do not share a host port."""

from typing import Any

from minikube_py.scheduler.framework import SKIP, Change, Happening, Plugin, Reject, reject
from minikube_py.scheduler.podinfo import HostPort, PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

ANY = "0.0.0.0"


class NodePorts(Plugin):
    """hostPort of containers; one on every address conflicts with one on any."""

    order = 4
    local = True
    wakes_on = (Change.NODE_ADDED, Change.POD_FREED)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        return pod.ports or SKIP

    def filter(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> Reject | None:
        if any(conflicts(wanted, used) for wanted in prepared for used in node.ports):
            return reject("node(s) didn't have free ports for the requested pod ports")
        return None

    def may_help(self, pod: PodInfo, happening: Happening) -> bool:
        freed = happening.pod
        return freed is None or any(conflicts(mine, theirs) for mine in pod.ports for theirs in freed.ports)


def conflicts(left: HostPort, right: HostPort) -> bool:
    """Whether two host ports cannot be had at once."""
    same = left[1:] == right[1:]
    return same and (left[0] == right[0] or ANY in (left[0], right[0]))
