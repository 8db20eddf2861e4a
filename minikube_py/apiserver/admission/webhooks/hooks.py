"""Hooks: the webhooks of all configurations, made ready once per change of a configuration.

They are asked in the order of their configurations' names, and within one as they are listed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.apiserver.admission import matching
from minikube_py.apiserver.admission.webhooks import conditions
from minikube_py.apiserver.admission.webhooks.review import V1, V1BETA1
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry.resource import Registry

DEFAULT_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook."""

    name: str
    configuration: str
    uid: str
    """Its identity while one request is admitted."""
    client_config: Obj
    criteria: matching.Criteria
    conditions: tuple[conditions.Condition, ...]
    version: str
    """The apiVersion of the reviews that it takes; empty where it takes none that is known."""
    ignores_failure: bool
    timeout: int
    dry_run: bool
    """Whether it may be asked in a dry run."""
    reinvoked: bool


class Hooks:
    """The hooks of all configurations of one kind, current with the registry."""

    def __init__(self, registry: Registry, kind: Kind) -> None:
        self._configurations: dict[str, tuple[Hook, ...]] = {}
        self.all: tuple[Hook, ...] = ()
        self.close: Callable[[], None] = registry.follow(kind, self._put, self._remove)
        """Follow the configurations no longer."""

    def _put(self, configuration: Obj) -> None:
        self._configurations[name_of(configuration)] = compiled(configuration)
        self._gather()

    def _remove(self, configuration: Obj) -> None:
        self._configurations.pop(name_of(configuration), None)
        self._gather()

    def _gather(self) -> None:
        self.all = tuple(hook for name in sorted(self._configurations) for hook in self._configurations[name])


def compiled(configuration: Obj) -> tuple[Hook, ...]:
    """The hooks of a configuration."""
    name = name_of(configuration)
    seen: dict[str, int] = {}
    hooks = []
    for webhook in configuration.get("webhooks") or ():
        place = seen[webhook["name"]] = seen.get(webhook["name"], -1) + 1
        hooks.append(_hook(name, webhook, f"{name}/{webhook['name']}/{place}"))
    return tuple(hooks)


def _hook(configuration: str, webhook: Obj, uid: str) -> Hook:
    versions = webhook.get("admissionReviewVersions") or ("v1",)
    known = (version for version in versions if version in ("v1", "v1beta1"))
    return Hook(
        name=webhook["name"],
        configuration=configuration,
        uid=uid,
        client_config=webhook.get("clientConfig") or {},
        criteria=matching.criteria(webhook),
        conditions=tuple(conditions.compiled(said) for said in webhook.get("matchConditions") or ()),
        version={"v1": V1, "v1beta1": V1BETA1}.get(next(known, ""), ""),
        ignores_failure=webhook.get("failurePolicy") == "Ignore",
        timeout=int(webhook.get("timeoutSeconds") or DEFAULT_TIMEOUT),
        dry_run=webhook.get("sideEffects") in ("None", "NoneOnDryRun"),
        reinvoked=webhook.get("reinvocationPolicy") == "IfNeeded",
    )
