"""How fast pods may be evicted from the nodes of a zone: slower, or not at all, the more of them are lost.

Source: "Nodes", rate limits on eviction, of the Kubernetes documentation (v1.34). Pure but for `Zones`, which
counts and keeps the time of each zone's last eviction.
"""

from collections import Counter
from dataclasses import dataclass, field

from minikube_py.meta.objects import Obj, condition_is, labels_of, name_of

NORMAL_RATE, SECONDARY_RATE = 0.1, 0.01
"""Nodes per second."""
LARGE, UNHEALTHY = 50, 0.55
ALL_LOST = "AllLost"
FULL, PARTIAL, NORMAL = "FullDisruption", "PartialDisruption", "Normal"


def zone_of(node: Obj) -> str:
    """The failure domain of a node; an empty string where it has none."""
    labels = labels_of(node)
    parts = [labels.get(f"topology.kubernetes.io/{part}", "") for part in ("region", "zone")]
    return "/".join(parts) if any(parts) else ""


def state_of(ready: int, lost: int) -> str:
    """FullDisruption where no node is ready, PartialDisruption where most of at least three are not."""
    if lost and not ready:
        return FULL
    return PARTIAL if lost > 2 and lost / (ready + lost) >= UNHEALTHY else NORMAL


def rate_of(state: str, size: int) -> float:
    """Nodes per second that may be given up in a zone of `size` nodes."""
    if state == PARTIAL:
        return SECONDARY_RATE if size > LARGE else 0.0
    return 0.0 if state == ALL_LOST else NORMAL_RATE


@dataclass(slots=True)
class Zones:
    """The nodes known, by zone, and when the next one of each zone may be given up."""

    _nodes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    _counts: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _next: dict[str, float] = field(default_factory=dict)

    def note(self, node: Obj, gone: bool = False) -> bool:
        """Count a node as it is now; whether that may change how others are treated."""
        before = self._nodes.pop(name_of(node), None)
        after = None if gone else (zone_of(node), condition_is(node, "Ready"))
        if before is not None:
            self._counts[before] -= 1
        if after is not None:
            self._nodes[name_of(node)] = after
            self._counts[after] += 1
        return before != after

    def state(self, zone: str) -> str:
        """The state of a zone, or AllLost where no node of any zone is ready."""
        if not any(count for (_, ready), count in self._counts.items() if ready):
            return ALL_LOST
        return state_of(self._counts[zone, True], self._counts[zone, False])

    def wait(self, zone: str, now: float) -> float | None:
        """Seconds until a node of the zone may be given up: 0 for now; None: not while the state lasts."""
        if not self._rate(zone):
            return None
        return max(0.0, self._next.get(zone, now) - now)

    def spend(self, zone: str, now: float) -> None:
        """A node of the zone is given up."""
        self._next[zone] = now + 1 / self._rate(zone)

    def _rate(self, zone: str) -> float:
        return rate_of(self.state(zone), self._counts[zone, True] + self._counts[zone, False])
