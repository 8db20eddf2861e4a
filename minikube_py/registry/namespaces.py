"""A new Namespace with all that belongs to it, as operations of one commit.

The namespace, its default ServiceAccount and its root CA ConfigMap appear at one revision, so that no client
can ever meet a namespace in which pods are refused for want of either.
"""

from collections.abc import Sequence

from minikube_py.meta.objects import Obj, new_uid
from minikube_py.registry.base import ClusterFacts
from minikube_py.registry.entries import encoding
from minikube_py.store.base import Put

RESOURCE = "namespaces"
ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
ROOT_CA_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "
    "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


def default_service_account(namespace: str, now: str) -> Obj:
    """The ServiceAccount that pods of the namespace have unless they name another."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata("default", namespace, now)}


def root_ca_config_map(namespace: str, now: str, root_ca: str) -> Obj:
    """The ConfigMap by which pods of the namespace trust the API server; `root_ca` is PEM."""
    metadata = _metadata(ROOT_CA_CONFIG_MAP, namespace, now)
    metadata["annotations"] = {"kubernetes.io/description": ROOT_CA_DESCRIPTION}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": root_ca}}


def _metadata(name: str, namespace: str, now: str) -> Obj:
    return {"name": name, "namespace": namespace, "uid": new_uid(), "creationTimestamp": now}


def companions(namespace: Obj, now: str, facts: ClusterFacts) -> Sequence[Put]:
    """The operations that belong into the commit of a new Namespace."""
    name = namespace["metadata"]["name"]
    account = default_service_account(name, now)
    authority = root_ca_config_map(name, now, facts.root_ca)
    return (
        Put(f"/registry/serviceaccounts/{name}/default", encoding(account)),
        Put(f"/registry/configmaps/{name}/{ROOT_CA_CONFIG_MAP}", encoding(authority)),
    )
