"""Which devices the containers of this node have, as monitors ask it. Source: KEP-606, KEP-3695."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from minikube_py.kubelet.devicemanager.claiminfo import requests
from minikube_py.kubelet.devicemanager.claims import Claims
from minikube_py.kubelet.devicemanager.deviceplugins import DevicePlugins
from minikube_py.kubelet.devicemanager.poddevices import Given, Known
from minikube_py.kubelet.plan import is_sidecar
from minikube_py.meta.objects import Obj, name_of, namespace_of, uid_of
from minikube_py.runtime.devices import PluginDevice
from minikube_py.runtime.podresources import ClaimUse, ContainerUse, PodUse


class DeviceUses:
    """Tells it of the pods that `active` gives."""

    def __init__(self, plugins: DevicePlugins, claims: Claims) -> None:
        self._plugins, self._claims = plugins, claims
        self.active: Callable[[], Sequence[Obj]] = tuple
        """The pods of the node that have not ended."""

    def pods(self) -> Iterator[PodUse]:
        for pod in self.active():
            sidecars = [one for one in pod["spec"].get("initContainers") or () if is_sidecar(one)]
            containers = [self._container(pod, one) for one in [*sidecars, *pod["spec"]["containers"]]]
            yield PodUse(name_of(pod), namespace_of(pod), containers)

    def _container(self, pod: Obj, container: Obj) -> ContainerUse:
        given = self._plugins.of_pod(uid_of(pod)).get(container["name"]) or {}
        names = {name for name, _ in requests(pod, container)}
        claims = [
            ClaimUse(info.ref, [(driver, one) for driver, devices in info.drivers.items() for one in devices])
            for info in self._claims.of_pod(uid_of(pod))
            if info.ref.name in names
        ]
        return ContainerUse(container["name"], list(_devices(given, self._plugins.state)), claims)

    def allocatable(self) -> Iterator[tuple[str, PluginDevice]]:
        for resource, state in self._plugins.state.items():
            for id in sorted(state.healthy):
                yield resource, PluginDevice(id, True, state.nodes.get(id, ()))


def _devices(given: Mapping[str, Given], state: Mapping[str, Known]) -> Iterator[tuple[str, PluginDevice]]:
    for resource, one in given.items():
        nodes = state.get(resource, Known()).nodes
        for id in sorted(one.devices):
            yield resource, PluginDevice(id, True, nodes.get(id, ()))
