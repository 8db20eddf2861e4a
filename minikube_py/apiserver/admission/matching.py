"""Which writes a webhook or an admission policy is about: rules, selectors, scope and equivalent versions.

`criteria` makes the JSON of a webhook, or of matchResources, ready once; `Matcher.match` then judges a request:

    chosen = matcher.match(criteria_of_hook, request)   # None: not concerned
    chosen.kind                                         # the version in which the rule names the resource

Where the rules name another version of the resource (or another group of the same stored resource) and the
policy is Equivalent, `chosen.kind` is that version: objects are to be converted to it before they are shown.
Source: "Dynamic Admission Control", matching requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minikube_py.errors import NotFound
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta import selectors
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, labels_of
from minikube_py.registry.base import Attributes
from minikube_py.registry.resource import Registry

CONFIGURATION_GROUP = "admissionregistration.k8s.io"
_NAMESPACES = "namespaces"


class Rule(NamedTuple):
    """One of `rules` or `resourceRules`, ready for matching."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Criteria:
    """What requests something is about."""

    rules: tuple[Rule, ...]
    exclude: tuple[Rule, ...] = ()
    namespaces: selectors.Selector | None = None
    objects: selectors.Selector | None = None
    equivalent: bool = True
    everything: bool = False
    """Whether an empty list of rules means all requests (matchResources of a binding)."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """That a request matches, and in which version of its kind."""

    kind: Kind


def criteria(said: Mapping[str, Any], *, rules: str = "rules", everything: bool = False) -> Criteria:
    """The criteria in a webhook (`rules="rules"`) or in matchConstraints and matchResources
    (`rules="resourceRules"`): also excludeResourceRules, namespaceSelector, objectSelector, matchPolicy."""
    return Criteria(
        rules=_rules(said.get(rules)),
        exclude=_rules(said.get("excludeResourceRules")),
        namespaces=_selector(said.get("namespaceSelector")),
        objects=_selector(said.get("objectSelector")),
        equivalent=(said.get("matchPolicy") or "Equivalent") == "Equivalent",
        everything=everything and not said.get(rules),
    )


def is_exempt(request: Attributes) -> bool:
    """Whether no webhook and no policy may see the request: it is about their own configuration."""
    return request.kind.group == CONFIGURATION_GROUP


def _selector(said: Mapping[str, Any] | None) -> selectors.Selector | None:
    return selectors.from_label_selector(said) if said else None


def _rules(said: Sequence[Obj] | None) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple(_split(resource) for resource in rule.get("resources") or ()),
            rule.get("scope") or "*",
            frozenset(rule.get("resourceNames") or ()),
        )
        for rule in said or ()
    )


def _split(resource: str) -> tuple[str, str]:
    plural, _, subresource = resource.partition("/")
    return plural, subresource


class Matcher:
    """Matches requests, looking up namespaces in the registry and equivalent versions in its catalogue."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._equivalents: dict[Kind, tuple[Kind, ...]] = {}

    def match(self, wanted: Criteria, request: Attributes) -> Chosen | None:
        """How `wanted` is about the request, or None. Errors: NotFound for a namespace that is gone."""
        if not self._namespace_matches(wanted, request) or not _object_matches(wanted, request):
            return None
        if wanted.exclude and self._chosen(wanted, wanted.exclude, request) is not None:
            return None
        if wanted.everything:
            return Chosen(request.requested or request.kind)
        return self._chosen(wanted, wanted.rules, request)

    def _chosen(self, wanted: Criteria, rules: Iterable[Rule], request: Attributes) -> Chosen | None:
        listed = tuple(rules)
        own = request.requested or request.kind
        if any(_rule_matches(rule, request, own) for rule in listed):
            return Chosen(own)
        if wanted.equivalent:
            for kind in self._equivalents_of(own):
                if any(_rule_matches(rule, request, kind) for rule in listed):
                    return Chosen(kind)
        return None

    def _equivalents_of(self, kind: Kind) -> tuple[Kind, ...]:
        """The other served versions of a resource."""
        catalogue = self._registry.catalogue
        if self._generation != catalogue.generation:
            self._generation = catalogue.generation
            self._equivalents.clear()
        known = self._equivalents.get(kind)
        if known is None:
            resource = kind.stored.resource
            others = (other for other in catalogue.all() if other.stored.resource == resource)
            known = tuple(o for o in others if o.api_version != kind.api_version)
            self._equivalents[kind] = known
        return known

    def _namespace_matches(self, wanted: Criteria, request: Attributes) -> bool:
        if wanted.namespaces is None:
            return True
        is_namespace = request.kind.resource == _NAMESPACES
        if not is_namespace and not (request.kind.namespaced and request.namespace):
            return True
        if is_namespace and not request.subresource and request.operation in ("CREATE", "UPDATE"):
            return wanted.namespaces.matches(labels_of(request.object or {}))
        return wanted.namespaces.matches(self.namespace_labels(request))

    def namespace_labels(self, request: Attributes) -> dict[str, str]:
        """The labels of the namespace that the request is in. Errors: NotFound."""
        return labels_of(self.namespace_of(request) or {})

    def namespace_of(self, request: Attributes) -> Obj | None:
        """The namespace that a request is in, shared and read-only; None where it is in none.
        Errors: NotFound."""
        if request.kind.resource == _NAMESPACES:
            name = "" if request.operation == "CREATE" else request.name
        elif request.kind.namespaced:
            name = request.namespace
        else:
            return None
        if not name:
            return None
        try:
            return self._registry.decoded(self._registry.get(Namespace, "", name))
        except NotFound:
            details = {"name": name, "kind": _NAMESPACES}
            raise NotFound(f'namespaces "{name}" not found', details=details) from None


def _object_matches(wanted: Criteria, request: Attributes) -> bool:
    if wanted.objects is None:
        return True
    shown = (obj for obj in (request.object, request.old) if obj is not None)
    return any(wanted.objects.matches(labels_of(obj)) for obj in shown)


def _rule_matches(rule: Rule, request: Attributes, kind: Kind) -> bool:
    if "*" not in rule.operations and request.operation not in rule.operations:
        return False
    if "*" not in rule.groups and kind.group not in rule.groups:
        return False
    if "*" not in rule.versions and kind.version not in rule.versions:
        return False
    if not _resource_matches(rule, kind.plural, request.subresource):
        return False
    if rule.scope != "*" and (rule.scope == "Namespaced") != kind.namespaced:
        return False
    return not rule.names or request.name in rule.names


def _resource_matches(rule: Rule, plural: str, subresource: str) -> bool:
    return any(
        resource in ("*", plural) and wanted in ("*", subresource) for resource, wanted in rule.resources
    )
