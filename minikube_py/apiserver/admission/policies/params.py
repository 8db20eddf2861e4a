"""The parameters that a binding gives its policy: objects of any kind that is served, custom ones too."""

from typing import Any

from minikube_py.apiserver.admission.policies.compiled import Binding, Policy
from minikube_py.errors import NotFound
from minikube_py.meta import selectors
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, labels_of
from minikube_py.registry.base import Attributes
from minikube_py.registry.resource import Registry


class Misconfigured(Exception):
    """A binding that cannot be used as it stands; its text says why."""


async def params_of(registry: Registry, policy: Policy, binding: Binding, request: Attributes) -> list[Any]:
    """The objects with which the policy is evaluated, one after the other: one None where it takes none.
    Errors: Misconfigured."""
    said, ref = policy.param_kind, binding.param_ref
    if said is None or ref is None:
        return [None]
    kind = registry.catalogue.by_kind(said.get("apiVersion", ""), said.get("kind", ""))
    if kind is None:
        raise Misconfigured(f"paramKind kind `{_shown(said)}` not known")
    namespace = _namespace(kind, ref, request)
    found = await _found(registry, kind, namespace, ref)
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _shown(said: Obj) -> str:
    return f"{said.get('apiVersion', '')}, Kind={said.get('kind', '')}"


def _namespace(kind: Kind, ref: Obj, request: Attributes) -> str:
    named: str = ref.get("namespace") or ""
    if not kind.namespaced:
        if named:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    own = request.namespace if request.kind.namespaced else ""
    if request.kind.resource == "namespaces" and request.operation != "CREATE":
        own = request.name
    if not (named or own):
        raise Misconfigured(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return named or own


async def _found(registry: Registry, kind: Kind, namespace: str, ref: Obj) -> list[Any]:
    if ref.get("name"):
        try:
            entries = [registry.get(kind, namespace, ref["name"])]
        except NotFound:
            return []
        return [registry.decoded(entry) for entry in await registry.versions.all_shown(kind, entries)]
    selector = selectors.from_label_selector(ref.get("selector") or {})
    listed = registry.list(kind, namespace).entries
    chosen = [entry for entry in listed if selector.matches(labels_of(registry.decoded(entry)))]
    return [registry.decoded(entry) for entry in await registry.versions.all_shown(kind, chosen)]
