"""The order of groups and versions in discovery: facts of the groups that this server serves, and how to sort.

A group's priority is the highest `groupPriorityMinimum` of its APIServices; higher ones come first, then names
decide. Versions of a group go by `versionPriority`, then v2 before v1 before v1beta1. Source: the API reference
of apiregistration.k8s.io/v1.
"""

from typing import NamedTuple

FIRST = "apiregistration.k8s.io"
"""The group that has no APIService, and comes before all."""


class Priority(NamedTuple):
    """groupPriorityMinimum and versionPriority."""

    group: int
    version: int


CUSTOM = Priority(1000, 100)
"""Of groups of custom resources."""
_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
    "metrics.k8s.io": 100,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 20,
    ("metrics.k8s.io", "v1beta1"): 100,
}


def is_built_in(group: str) -> bool:
    """Whether a group is one of Kubernetes' own that have an APIService."""
    return group in _GROUPS


def priority_of(group: str, version: str) -> Priority:
    """The priority of what this server serves itself."""
    if group == FIRST:
        return Priority(20000, 15)
    if group not in _GROUPS:
        return CUSTOM
    return Priority(_GROUPS[group], _VERSIONS.get((group, version), 15))
