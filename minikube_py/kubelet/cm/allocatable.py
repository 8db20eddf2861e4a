"""What the node has, and what of it pods may ask for. Pure.

Allocatable is capacity less what is reserved for the system and for Kubernetes' own processes, as the kubelet's
--system-reserved and --kube-reserved say, and less what a hard eviction threshold keeps free: pods that use all
of it are evicted; huge pages are no ordinary memory. Extended resources are told by
whoever patches the node's status.capacity, and are kept.
"""

from collections.abc import Mapping

from minikube_py.kubelet.cm.qos import HUGEPAGES
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.eviction.thresholds import MEMORY, NODEFS, amount, is_off
from minikube_py.kubelet.node.machine import Machine
from minikube_py.meta.amounts import Amounts, minus, only
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import int_value


def capacity(config: KubeletConfig, machine: Machine) -> Amounts:
    """The node's capacity, without extended resources."""
    return {
        "cpu": str(machine.cores),
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        **machine.hugepages,
        "memory": f"{machine.memory // 1024}Ki",
        "pods": str(config.max_pods),
    }


def _kept_free(config: KubeletConfig, whole: Mapping[str, str]) -> Amounts:
    """What pods never get of memory and disk, as they are evicted first."""
    hard = config.eviction.hard
    return {
        resource: str(amount(hard[signal], int_value(whole[resource])))
        for signal, resource in ((MEMORY, "memory"), (NODEFS, "ephemeral-storage"))
        if signal in hard and not is_off(hard[signal])
    }


def is_extended(resource: str) -> bool:
    """Whether Kubernetes itself knows nothing of the resource, such as example.com/dongle."""
    domain, slash, _ = resource.rpartition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")


def extended(status: Obj) -> Amounts:
    """The extended resources in a node's capacity."""
    return {name: amount for name, amount in (status.get("capacity") or {}).items() if is_extended(name)}


def withdrawn(status: Obj) -> list[str]:
    """The extended resources that are allocatable still, though they have gone from a node's capacity."""
    known = status.get("capacity") or {}
    return [name for name in status.get("allocatable") or () if is_extended(name) and name not in known]


def enforced(config: KubeletConfig, whole: Mapping[str, str]) -> Amounts:
    """What of the capacity `whole` the cgroup of all pods is limited to: what evictions keep free is within it,
    as pods are to be evicted before the kernel kills them."""
    return minus(minus(whole, config.system_reserved), config.kube_reserved)


def allocatable(config: KubeletConfig, whole: Mapping[str, str]) -> Amounts:
    """What of the capacity `whole` is for pods."""
    result = minus(enforced(config, whole), _kept_free(config, whole))
    for name, pages in whole.items():
        if name.startswith(HUGEPAGES):
            result |= minus(only(result, ("memory",)), {"memory": pages})
    return result
