"""The steps of the server's start, in their order, and the names that health checks give to what each brings.

The names are kube-apiserver's post-start hooks, by which people and probes know them. Here one step does what
several hooks do there: it completes all of them.
Source: "Kubernetes API health endpoints" of the Kubernetes documentation, and what /livez?verbose says (v1.34).
"""

from collections.abc import Iterator
from typing import Literal, get_args

Step = Literal["rules", "guards", "custom resources", "defaults", "tokens", "aggregation"]

_HOOKS: dict[Step, tuple[str, ...]] = {
    "rules": ("start-apiserver-admission-initializer", "generic-apiserver-start-informers"),
    "guards": ("priority-and-fairness-config-consumer", "priority-and-fairness-filter"),
    "custom resources": (
        "start-apiextensions-informers",
        "start-apiextensions-controllers",
        "crd-informer-synced",
    ),
    "defaults": (
        "start-system-namespaces-controller",
        "start-cluster-authentication-info-controller",
        "start-service-ip-repair-controllers",
        "rbac/bootstrap-roles",
        "scheduling/bootstrap-system-priority-classes",
        "priority-and-fairness-config-producer",
        "bootstrap-controller",
        "start-kubernetes-service-cidr-controller",
    ),
    "tokens": ("start-legacy-token-tracking-controller",),
    "aggregation": (
        "start-kube-aggregator-informers",
        "apiservice-status-local-available-controller",
        "apiservice-status-remote-available-controller",
        "apiservice-registration-controller",
        "apiservice-discovery-controller",
        "kube-apiserver-autoregistration",
        "apiservice-openapi-controller",
        "apiservice-openapiv3-controller",
    ),
}
REGISTERED = "autoregister-completion"
"""The check that every group version of this server has its APIService."""


def checks_of(step: Step) -> Iterator[str]:
    """The checks that are well once the step is done."""
    yield from (f"poststarthook/{hook}" for hook in _HOOKS[step])
    if step == "aggregation":
        yield REGISTERED


def all_checks() -> Iterator[str]:
    """The checks of every step, in order."""
    for step in get_args(Step):
        yield from checks_of(step)
