"""ServiceAccount: each pod runs as an account of its namespace and finds its token mounted.

The token is a projected volume (token of 3607 s, the cluster's root CA, the namespace) at
/var/run/secrets/kubernetes.io/serviceaccount, as client libraries expect.
"""

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.apiserver.admission.references import projected_sources, secrets_of
from minikube_py.kinds.core.serviceaccount import ServiceAccount
from minikube_py.kinds.podspec.resize import MIRROR
from minikube_py.meta.objects import Obj, annotations_of, copy
from minikube_py.registry.base import Attributes
from minikube_py.registry.metadata import generated_name

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"


class ServiceAccountAdmission(Plugin):
    """Gives pods their account, its image pull secrets and its token."""

    name = "ServiceAccount"
    resources = frozenset(("pods",))

    async def mutate(self, request: Attributes) -> None:
        pod = object_of(request)
        spec: Obj = pod.setdefault("spec", {})
        if MIRROR in annotations_of(pod):
            _check_mirror(request, spec)
            return
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self.lookup(ServiceAccount, request.namespace, name)
        if account is None:
            where = f"{request.namespace}/{name}"
            raise forbid(
                request, f'error looking up service account {where}: serviceaccount "{name}" not found'
            )
        if _automounts(spec, account):
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = copy(account["imagePullSecrets"])


def _check_mirror(request: Attributes, spec: Obj) -> None:
    if spec.get("serviceAccountName"):
        raise forbid(request, "a mirror pod may not reference service accounts")
    if any(True for _ in secrets_of(spec)):
        raise forbid(request, "a mirror pod may not reference secrets")
    if any(source.get("serviceAccountToken") is not None for source in projected_sources(spec)):
        raise forbid(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _automounts(spec: Obj, account: Obj) -> bool:
    for said in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if said is not None:
            return bool(said)
    return True


def mount_token(spec: Obj) -> None:
    """Mount the token into each container of the pod spec that has nothing at its path."""
    volumes: list[Obj] = spec.get("volumes") or []
    known = next((v["name"] for v in volumes if v.get("name", "").startswith(VOLUME_PREFIX)), "")
    name = known or generated_name(VOLUME_PREFIX)
    mounted = False
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                continue
            mounted = True
            container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
    if mounted and not known:
        spec["volumes"] = [*volumes, token_volume(name)]


def token_volume(name: str) -> Obj:
    """The projected volume of token, root CA and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
        },
    }
