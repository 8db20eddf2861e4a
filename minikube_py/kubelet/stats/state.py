"""The families of /metrics that tell how things stand when the page is asked for: pods, containers, volumes,
certificates. Pure, but for what is handed in.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from minikube_py.kubelet.admission.admission import SOURCE
from minikube_py.kubelet.kuberuntime.view import RuntimeView
from minikube_py.kubelet.metrics import plugin_of
from minikube_py.kubelet.stats.exposition import Metric
from minikube_py.kubelet.status import FINAL
from minikube_py.kubelet.volumes.base import Mounted
from minikube_py.meta.objects import Obj, annotations_of, dig, uid_of

GAUGE = "gauge"
Samples = Iterable[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class State:
    """What the rest of the kubelet gives: its pods, the volumes of one (by uid), and each pod's counts of
    probes."""

    pods: Callable[[], list[Obj]]
    mounted: Callable[[str], Mapping[str, Mounted]]
    probes: Callable[[], Iterable[Mapping[tuple[str, ...], int]]]


def _gauge(name: str, help: str, samples: Samples, stability: str = "ALPHA") -> Metric:
    return Metric(name, GAUGE, f"[{stability}] {help}", list(samples))


def node_metrics(name: str, view: RuntimeView) -> Iterator[Metric]:
    """The node's name, and what the runtime runs on it."""
    states: Counter[str] = Counter(c.state for uid in view.uids() for c in view.of(uid).containers.values())
    sandboxes = sum(view.of(uid).ready_sandbox() is not None for uid in view.uids())
    containers = [({"container_state": state}, float(count)) for state, count in sorted(states.items())]
    yield _gauge("kubelet_node_name", "The node's name. The count is always 1.", [({"node": name}, 1.0)])
    yield _gauge(
        "kubelet_running_pods", "Number of pods that have a running pod sandbox", [({}, float(sandboxes))]
    )
    yield _gauge("kubelet_running_containers", "Number of containers currently running", containers)


def is_static(pod: Obj) -> bool:
    """Whether a pod is of a file of the node's."""
    return annotations_of(pod).get(SOURCE, "api") != "api"


def pod_metrics(pods: Sequence[Obj]) -> Iterator[Metric]:
    """How many pods there are to run, by where they come from."""
    desired: Counter[bool] = Counter(map(is_static, pods))
    active: Counter[bool] = Counter(
        is_static(pod) for pod in pods if (dig(pod, "status.phase") or "Pending") not in FINAL
    )

    def both(counts: Counter[bool]) -> Samples:
        return [({"static": text}, float(counts[key])) for key, text in ((False, ""), (True, "true"))]

    ephemeral = sum(len(pod["spec"].get("ephemeralContainers") or ()) for pod in pods)
    yield _gauge(
        "kubelet_desired_pods",
        "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the "
        "apiserver.",
        both(desired),
    )
    yield _gauge(
        "kubelet_active_pods",
        "The number of pods the kubelet considers active and which are being considered when admitting new "
        "pods. static is true if the pod is not from the apiserver.",
        both(active),
    )
    yield _gauge(
        "kubelet_mirror_pods",
        "The number of mirror pods the kubelet will try to create (one per admitted static pod)",
        [({}, float(desired[True]))],
    )
    yield _gauge(
        "kubelet_managed_ephemeral_containers",
        "Current number of ephemeral containers in pods managed by this kubelet.",
        [({}, float(ephemeral))],
    )


def volume_count(pods: Iterable[Obj], mounted: Callable[[str], Mapping[str, Mounted]]) -> Metric:
    """How many volumes there are to be, and are, by plugin."""
    found: Counter[tuple[str, str]] = Counter()
    for pod in pods:
        made = mounted(uid_of(pod))
        for volume in pod["spec"].get("volumes") or ():
            if plugin := plugin_of(volume, made.get(volume["name"])):
                found[plugin, "desired_state_of_world"] += 1
                found[plugin, "actual_state_of_world"] += volume["name"] in made
    samples = [
        ({"plugin_name": f"kubernetes.io/{plugin}", "state": state}, float(count))
        for (plugin, state), count in sorted(found.items())
        if count
    ]
    return _gauge("volume_manager_total_volumes", "Number of volumes in Volume Manager", samples)


def certificate_metrics(expiry: float, now: float) -> Iterator[Metric]:
    """How long the serving certificate is good for; a client certificate is not used."""
    kind, invalid = "kubelet_certificate_manager", "certificate is invalid or unused, the value will be +INF."
    seconds = "The value is in seconds until certificate expiry (negative if already expired). If"
    yield _gauge(
        f"{kind}_server_ttl_seconds",
        f"Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. {seconds} serving "
        f"{invalid}",
        [({}, float(round(expiry - now)))],
    )
    yield _gauge(
        f"{kind}_client_ttl_seconds",
        f"Gauge of the TTL (time-to-live) of the Kubelet's client certificate. {seconds} client {invalid}",
        [({}, float("inf"))],
    )
