"""Discovery: which groups, versions and resources are served.

    discovery = Discovery(catalogue, virtual)      # virtual: Kinds that are not stored (verbs=("create",))
    document = discovery.get(path, accept)         # Document(body, etag, content_type) or None (404)

`path` is `/api`, `/apis`, `/api/v1`, `/apis/<group>` or `/apis/<group>/<version>`, without a query. At `/api`
and `/apis` the aggregated form (apidiscovery.k8s.io v2 or v2beta1) is given where Accept asks for it, as
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api describes.
Every document is kept until the catalogue's generation changes.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from minikube_py.apiserver.document import Document, Kinds, media_types
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj

GROUPS = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
)
"""The order in which clients look for a resource; groups that are not named here follow by name."""

_AGGREGATED = ("v2", "v2beta1")
_READ_WRITE = ("get", "patch", "update")
_CONNECT = ("create", "get")
_ANY_METHOD = ("create", "delete", "get", "patch", "update")


class Sub(NamedTuple):
    """What a subresource takes or gives."""

    api_version: str
    kind: str
    verbs: tuple[str, ...]


def subresource(kind: Kind, name: str) -> Sub:
    """The kind and the verbs of a subresource of `kind`."""
    known: Mapping[str, Sub] = {
        "scale": Sub("autoscaling/v1", "Scale", _READ_WRITE),
        "binding": Sub("v1", "Binding", ("create",)),
        "eviction": Sub("policy/v1", "Eviction", ("create",)),
        "token": Sub("authentication.k8s.io/v1", "TokenRequest", ("create",)),
        "log": Sub(kind.api_version, kind.kind, ("get",)),
        "exec": Sub(kind.api_version, f"{kind.kind}ExecOptions", _CONNECT),
        "attach": Sub(kind.api_version, f"{kind.kind}AttachOptions", _CONNECT),
        "portforward": Sub(kind.api_version, f"{kind.kind}PortForwardOptions", _CONNECT),
        "proxy": Sub(kind.api_version, f"{kind.kind}ProxyOptions", _ANY_METHOD),
        "finalize": Sub(kind.api_version, kind.kind, ("update",)),
    }
    return known.get(name) or Sub(kind.api_version, kind.kind, _READ_WRITE)


class Discovery:
    """Renders what the catalogue serves, and keeps the bytes."""

    def __init__(self, catalogue: Kinds, virtual: Sequence[Kind] = ()) -> None:
        self._catalogue = catalogue
        self._virtual = tuple(virtual)
        self._generation: int | None = None
        self._documents: dict[str, Document] = {}
        self._address = ""

    def advertise(self, address: str) -> None:
        """Tell clients that the server is reached at `address`, a host and a port."""
        self._address, self._generation = address, None

    def get(self, path: str, accept: str = "") -> Document | None:
        """The document at `path`, or None where nothing is served there."""
        path = path.rstrip("/")
        if self._generation != self._catalogue.generation:
            groups = _by_group((*self._catalogue.all(), *self._virtual))
            self._documents = _documents(groups, self._address)
            self._generation = self._catalogue.generation
        version = _aggregated_version(accept) if path in ("/api", "/apis") else ""
        return self._documents.get(f"{path};{version}" if version else path)


def _aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that is preferred, empty for the plain form."""
    for name, parameters in media_types(accept):
        if name not in ("application/json", "application/*", "*/*"):
            continue
        if not parameters.get("as"):
            return ""
        asked = (parameters.get("g"), parameters.get("as"))
        if asked == ("apidiscovery.k8s.io", "APIGroupDiscoveryList") and parameters.get("v") in _AGGREGATED:
            return parameters["v"]
    return ""


Group = Mapping[str, Sequence[Kind]]
"""Versions, the preferred one first, and their kinds by resource name."""


def _by_group(kinds: Iterable[Kind]) -> dict[str, Group]:
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.plural):
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    order = {group: position for position, group in enumerate(GROUPS)}
    groups = sorted(found, key=lambda group: (order.get(group, len(order)), group))
    return {group: {v: found[group][v] for v in sorted(found[group], key=version_order)} for group in groups}


def version_order(version: str) -> tuple[int, int, int, str]:
    """What versions are sorted by: stable before beta before alpha, higher before lower, other names last."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


def _documents(groups: Mapping[str, Group], address: str) -> dict[str, Document]:
    everywhere = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}] if address else []
    plain: dict[str, Obj] = {"/api": {"kind": "APIVersions", "versions": list(groups.get("", ()))}}
    plain["/api"]["serverAddressByClientCIDRs"] = everywhere
    for group, versions in groups.items():
        if group:
            plain[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1"} | _api_group(group, versions)
        for version, kinds in versions.items():
            root = f"/apis/{group}" if group else "/api"
            plain[f"{root}/{version}"] = _resource_list(group, version, kinds)
    listed = [_api_group(group, versions) for group, versions in groups.items() if group]
    plain["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
    documents = {path: document(body) for path, body in plain.items()}
    for version in _AGGREGATED:
        form = f";g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        for path, items in (("/api", [""] if "" in groups else []), ("/apis", [g for g in groups if g])):
            body = {
                "kind": "APIGroupDiscoveryList",
                "apiVersion": f"apidiscovery.k8s.io/{version}",
                "metadata": {},
                "items": [_aggregated_group(group, groups[group]) for group in items],
            }
            documents[f"{path};{version}"] = document(body, form)
    return documents


def document(body: Obj, form: str = "") -> Document:
    """A document of a JSON body; `form` are the parameters of its media type, from the semicolon on."""
    data = orjson.dumps(body)
    return Document(data, hashlib.sha512(data).hexdigest().upper(), f"application/json{form}")


def _api_group(group: str, versions: Group) -> Obj:
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def _resource_list(group: str, version: str, kinds: Sequence[Kind]) -> Obj:
    resources = [entry for kind in kinds for entry in _resources(kind)]
    body: Obj = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    body["groupVersion"] = f"{group}/{version}" if group else version
    return body | {"resources": sorted(resources, key=lambda entry: str(entry["name"]))}


def _resources(kind: Kind) -> list[Obj]:
    entry: Obj = {
        "name": kind.plural,
        "singularName": kind.singular_name,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _verbs(kind),
    }
    entry |= _names(kind)
    if "get" in kind.verbs:
        entry["storageVersionHash"] = _storage_version_hash(kind)
    entries = [entry]
    for name in kind.subresources:
        sub = subresource(kind, name)
        body: Obj = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
        if sub.api_version != kind.api_version:
            sub_group, _, sub_version = sub.api_version.rpartition("/")
            body |= {"group": sub_group, "version": sub_version}
        entries.append(body | {"kind": sub.kind, "verbs": sorted(sub.verbs)})
    return entries


_WITHOUT_CREATION = ("delete", "deletecollection", "get", "list", "watch")


def _verbs(kind: Kind) -> list[str]:
    """The verbs that are told; of a kind on its way out, those by which it is emptied."""
    return sorted(_WITHOUT_CREATION if kind.terminating else kind.verbs)


def _names(kind: Kind) -> Obj:
    names = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {key: value for key, value in names.items() if value}


def _storage_version_hash(kind: Kind) -> str:
    text = f"{kind.group}/{kind.version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _aggregated_group(group: str, versions: Group) -> Obj:
    return {
        "metadata": {"name": group} if group else {},
        "versions": [
            {
                "version": version,
                "resources": [_aggregated_resource(kind) for kind in kinds],
                "freshness": "Current",
            }
            for version, kinds in versions.items()
        ],
    }


def _aggregated_resource(kind: Kind) -> Obj:
    entry: Obj = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.api_version, kind.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular_name,
        "verbs": _verbs(kind),
    }
    entry |= _names(kind)
    subresources = [
        {
            "subresource": name,
            "responseKind": _response_kind(sub.api_version, sub.kind),
            "verbs": sorted(sub.verbs),
        }
        for name in sorted(kind.subresources)
        for sub in (subresource(kind, name),)
    ]
    return entry | ({"subresources": subresources} if subresources else {})


def _response_kind(api_version: str, kind: str) -> dict[str, Any]:
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind}
