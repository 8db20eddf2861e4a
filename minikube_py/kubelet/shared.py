"""What all pod workers of one kubelet share, and the small questions they ask of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from minikube_py.aio.clock import Clock
from minikube_py.client.base import Client
from minikube_py.client.events import EventRecorder
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.core.secret import Secret
from minikube_py.kinds.core.service import Service
from minikube_py.kubelet.cm.cgroups import PodCgroups
from minikube_py.kubelet.cm.qos import HostLimits
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.devicemanager.devices import Devices
from minikube_py.kubelet.images.puller import ImagePuller
from minikube_py.kubelet.kuberuntime.environment import MASTER_SERVICE, PodFacts
from minikube_py.kubelet.kuberuntime.isolation import Isolation
from minikube_py.kubelet.kuberuntime.pace import Pace
from minikube_py.kubelet.kuberuntime.sandbox import Resolver
from minikube_py.kubelet.kuberuntime.view import RuntimeView
from minikube_py.kubelet.metrics import KubeletMetrics
from minikube_py.kubelet.volumes.base import VolumeKind
from minikube_py.kubelet.volumes.storage import Storage
from minikube_py.meta.objects import Key, Obj, key_of, namespace_of, uid_of
from minikube_py.runtime.base import Runtime


@dataclass(frozen=True, slots=True)
class Shared:
    """One kubelet's parts."""

    client: Client
    runtime: Runtime
    clock: Clock
    config: KubeletConfig
    view: RuntimeView
    images: ImagePuller
    cgroups: PodCgroups
    recorder: EventRecorder
    volume_kinds: Mapping[str, VolumeKind]
    storage: Storage
    host_resolver: Resolver
    memory: int
    """The node's memory in bytes."""
    allocatable: Mapping[str, str]
    isolation: Isolation
    host_limits: HostLimits
    devices: Devices
    pace: Pace
    starting: set[str] = field(default_factory=set)
    """The uids of the pods that are being started."""
    metrics: KubeletMetrics = field(default_factory=KubeletMetrics)

    def is_known(self, pod: Obj) -> bool:
        """Whether the cache has this very pod, and none or another of its name."""
        known = self.client.cache.get(Pod, key_of(pod))
        return known is not None and uid_of(known) == uid_of(pod)

    def lookup(self, kind: str, namespace: str, name: str) -> Obj | None:
        """A ConfigMap or Secret from the cache."""
        return self.client.cache.get(ConfigMap if kind == "ConfigMap" else Secret, Key(namespace, name))

    def services(self, pod: Obj) -> list[Obj]:
        """The Services whose variables the pod's containers may get; a later one's win."""
        own = list(self.client.cache.list(Service, namespace_of(pod)))
        master = self.client.cache.get(Service, Key(*MASTER_SERVICE))
        return own if master is None or namespace_of(pod) == MASTER_SERVICE[0] else [master, *own]

    def facts(self, ips: tuple[str, ...] = ()) -> PodFacts:
        """What the downward API can ask of a pod with these addresses."""
        return PodFacts(
            self.config.node_name,
            self.config.node_ip,
            ips,
            self.allocatable,
            self.config.kubernetes_service,
        )

    def epoch(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now().timestamp()

    def teller(self, pod: Obj, container: Obj) -> Callable[[str, str, str], None]:
        """Records events about a container: type, reason, message."""
        field = next(
            field
            for field in ("initContainers", "ephemeralContainers", "containers")
            if field == "containers"
            or any(c["name"] == container["name"] for c in pod["spec"].get(field) or ())
        )
        path = f"spec.{field}{{{container['name']}}}"

        def tell(type: str, reason: str, message: str) -> None:
            self.recorder.record(pod, type, reason, message, field_path=path)

        return tell
