"""Which other objects of its namespace a pod refers to: Secrets and ConfigMaps, wherever it may name them."""

from collections.abc import Iterator
from typing import Any

from minikube_py.meta.objects import Obj, containers_of

_SECRET_VOLUMES = {
    "azureFile": "secretName",
    "cephfs": "secretRef",
    "cinder": "secretRef",
    "flexVolume": "secretRef",
    "rbd": "secretRef",
    "scaleIO": "secretRef",
    "iscsi": "secretRef",
    "storageos": "secretRef",
    "csi": "nodePublishSecretRef",
    "secret": "secretName",
}
"""Volume types, and where they name a Secret."""


def secrets_of(spec: Obj) -> Iterator[str]:
    """The names of the Secrets that a pod spec refers to."""
    for reference in spec.get("imagePullSecrets") or ():
        yield reference.get("name") or ""
    yield from _in_environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        for kind, field in _SECRET_VOLUMES.items():
            if (said := (volume.get(kind) or {}).get(field)) is not None:
                yield _name(said)
        for source in (volume.get("projected") or {}).get("sources") or ():
            if (projected := source.get("secret")) is not None:
                yield projected.get("name") or ""


def config_maps_of(spec: Obj) -> Iterator[str]:
    """The names of the ConfigMaps that a pod spec refers to."""
    yield from _in_environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        for source in (volume, *sources):
            if (said := source.get("configMap")) is not None:
                yield said.get("name") or ""


def projected_sources(spec: Obj) -> Iterator[Obj]:
    """The sources of the projected volumes."""
    for volume in spec.get("volumes") or ():
        yield from (volume.get("projected") or {}).get("sources") or ()


def _in_environment(spec: Obj, whole: str, key: str) -> Iterator[str]:
    for container in containers_of(spec):
        for source in container.get("envFrom") or ():
            if (said := source.get(whole)) is not None:
                yield said.get("name") or ""
        for variable in container.get("env") or ():
            if (said := (variable.get("valueFrom") or {}).get(key)) is not None:
                yield said.get("name") or ""


def _name(said: Any) -> str:
    return said if isinstance(said, str) else said.get("name") or ""
