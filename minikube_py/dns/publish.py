"""The `kube-dns` Service: how pods find the name server, made by the name server itself."""

from minikube_py.client.base import APPLY_PATCH, Client
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import SERVICE_NAME, EndpointSlice
from minikube_py.meta.objects import Key, Obj

NAMESPACE, NAME = "kube-system", "kube-dns"
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def service(cluster_ip: str) -> Obj:
    """The Service at the address that pods' resolv.conf names; it has no selector."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": cluster_ip,
            "ports": [{"name": name, "port": 53, "protocol": p, "targetPort": 53} for name, p in _PORTS],
        },
    }


def endpoints(address: str, port: int) -> Obj:
    """The EndpointSlice that leads to the name server."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {
                SERVICE_NAME: NAME,
                "endpointslice.kubernetes.io/managed-by": "minikube-py",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": name, "port": port, "protocol": protocol} for name, protocol in _PORTS],
    }


async def publish(client: Client, cluster_ip: str, address: str, port: int) -> None:
    """Make both objects say where the name server is (idempotent). Errors: ApiError."""
    for kind, wanted in ((Service, service(cluster_ip)), (EndpointSlice, endpoints(address, port))):
        await client.patch(kind, Key(NAMESPACE, NAME), wanted, type=APPLY_PATCH)
