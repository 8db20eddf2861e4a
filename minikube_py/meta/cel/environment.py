"""The variables of admission, in ValidatingAdmissionPolicies and match conditions: names and types."""

from collections.abc import Mapping
from typing import Final

from minikube_py.meta.cel.types import (
    AUTHORIZER,
    BOOL,
    DYN,
    INT,
    RESOURCE_CHECK,
    STRING,
    CelType,
    list_of,
    map_of,
)


def _object(name: str, /, **fields: CelType) -> CelType:
    return CelType("object", (), name, fields)


_GVK: Final = _object("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_GVR: Final = _object("kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER: Final = _object(
    "kubernetes.UserInfo",
    username=STRING,
    uid=STRING,
    groups=list_of(STRING),
    extra=map_of(STRING, list_of(STRING)),
)
REQUEST: Final = _object(
    "kubernetes.AdmissionRequest",
    kind=_GVK,
    resource=_GVR,
    subResource=STRING,
    requestKind=_GVK,
    requestResource=_GVR,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_USER,
    dryRun=BOOL,
    options=DYN,
)
"""`request`: the AdmissionRequest, without its objects."""
_TEXTS: Final = map_of(STRING, STRING)
NAMESPACE: Final = _object(
    "kubernetes.Namespace",
    metadata=_object(
        "kubernetes.NamespaceMetadata",
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=_TEXTS,
        annotations=_TEXTS,
        UID=STRING,
        creationTimestamp=STRING,
        deletionGracePeriodSeconds=INT,
        deletionTimestamp=STRING,
        generation=INT,
        resourceVersion=STRING,
        finalizers=list_of(STRING),
    ),
    spec=_object("kubernetes.NamespaceSpec", finalizers=list_of(STRING)),
    status=_object("kubernetes.NamespaceStatus", phase=STRING),
)
"""`namespaceObject`: the namespace that the request's object is in."""
MATCH_CONDITIONS: Final[Mapping[str, CelType]] = {
    "object": DYN,
    "oldObject": DYN,
    "request": REQUEST,
    "authorizer": AUTHORIZER,
    "authorizer.requestResource": RESOURCE_CHECK,
}
"""The variables of a webhook's match conditions."""
ADMISSION: Final[Mapping[str, CelType]] = {**MATCH_CONDITIONS, "params": DYN, "namespaceObject": NAMESPACE}
"""The variables of a policy, but for `variables`."""
