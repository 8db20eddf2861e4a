"""Namespaces, priority classes, and the `kubernetes` Service through which pods reach the API server."""

import base64
import ipaddress
from collections.abc import Sequence

import orjson

from minikube_py.meta.objects import Obj

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def namespaces() -> list[Obj]:
    """The namespaces that every cluster has."""
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in SYSTEM_NAMESPACES]


def priority_classes() -> list[Obj]:
    """The two classes above all that users may define."""
    described = {
        "system-node-critical": (
            2_000_001_000,
            "System critical pods that must not be moved from their current node.",
        ),
        "system-cluster-critical": (
            2_000_000_000,
            "System critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    }
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": text,
        }
        for name, (value, text) in described.items()
    ]


def api_service(service_cidr: str) -> Obj:
    """The Service `kubernetes`, at the first address of the range."""
    address = str(next(ipaddress.ip_network(service_cidr).hosts()))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": _SERVICE_LABELS},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443}],
        },
    }


_SERVICE_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def api_endpoints(addresses: Sequence[str], port: int) -> list[Obj]:
    """The Endpoints and the EndpointSlice behind the Service `kubernetes`."""
    skip = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    family = "IPv6" if ":" in addresses[0] else "IPv4"
    return [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": skip},
            "subsets": [{"addresses": [{"ip": address} for address in addresses], "ports": ports}],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": family,
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": ports,
        },
    ]


def authentication_config(client_ca: str, front_proxy_ca: str, front_proxies: Sequence[str]) -> Obj:
    """The ConfigMap from which extension API servers learn the CA of client certificates, and by whom and how
    they are told who asks (nothing of that where there is no front-proxy CA)."""
    data = {"client-ca-file": client_ca}
    if front_proxy_ca:
        lists = {
            "allowed-names": list(front_proxies),
            "extra-headers-prefix": ["X-Remote-Extra-"],
            "group-headers": ["X-Remote-Group"],
            "uid-headers": ["X-Remote-Uid"],
            "username-headers": ["X-Remote-User"],
        }
        data["requestheader-client-ca-file"] = front_proxy_ca
        data |= {f"requestheader-{key}": orjson.dumps(value).decode() for key, value in lists.items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    }


def cluster_info(server: str, ca: str) -> Obj:
    """The ConfigMap from which anybody learns the API server's URL and its CA (PEM); the bootstrap signer adds
    a signature by each bootstrap token."""
    kubeconfig = f"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {base64.b64encode(ca.encode()).decode()}
    server: {server}
  name: ""
contexts: null
current-context: ""
kind: Config
preferences: {{}}
users: null
"""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": kubeconfig},
    }
