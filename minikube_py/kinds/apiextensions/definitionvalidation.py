"""Validation of CustomResourceDefinitions: names, scope, versions, subresources, columns, conversion.

The rules of schemas are `meta.structural`'s.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from minikube_py.kinds.admissionregistration.webhookvalidation import client_config, review_versions
from minikube_py.kinds.apiextensions.versionvalidation import validate_versions
from minikube_py.kinds.apiregistration.apiservice import is_bundle
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1035_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, annotations_of, condition_is, dig, name_of
from minikube_py.meta.violations import forbidden, immutable, invalid, not_supported, required

APPROVED = "api-approved.kubernetes.io"
_PROTECTED = ("k8s.io", "kubernetes.io")
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_MIGRATE = (
    "missing from spec.versions; {0} was previously a storage version, and must remain in spec.versions until "
    "a storage migration ensures no data remains persisted in {0} and removes {0} from status.storedVersions"
)
_SCOPES, _STRATEGIES = ("Cluster", "Namespaced"), ("None", "Webhook")


def validate(definition: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a definition."""
    spec = definition.get("spec") or {}
    plural, group = (spec.get("names") or {}).get("plural") or "", spec.get("group") or ""
    if old is None and name_of(definition) != f"{plural}.{group}":
        yield invalid("metadata.name", name_of(definition), 'must be spec.names.plural+"."+spec.group')
    yield from _group(group)
    yield from _choice(spec.get("scope"), "spec.scope", _SCOPES)
    if spec.get("preserveUnknownFields"):
        told = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema"
        yield invalid("spec.preserveUnknownFields", True, f"{told} instead")
    yield from validate_versions(spec, (old or {}).get("spec") or {})
    yield from _names(spec.get("names") or {}, "spec.names")
    yield from _conversion(spec.get("conversion") or {}, "spec.conversion", old)
    yield from stored_versions(definition)
    if old is not None:
        yield from _update(definition, old)
    yield from _approval(definition, old)


def validate_status(definition: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a status."""
    yield from _labels((definition.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")


def _choice(value: str | None, path: str, allowed: tuple[str, ...]) -> Iterable[Violation]:
    if not value:
        yield required(path)
    elif value not in allowed:
        yield not_supported(path, value, allowed)


def _group(group: str) -> Iterable[Violation]:
    if not group:
        yield required("spec.group")
    elif faults := dns1123_subdomain(group):
        yield invalid("spec.group", group, ",".join(faults))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _names(names: Obj, path: str) -> Iterable[Violation]:
    for field in ("plural", "singular", "kind", "listKind"):
        if not names.get(field):
            yield required(f"{path}.{field}")
    yield from _labels(names, path)


def _labels(names: Obj, path: str) -> Iterable[Violation]:
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        is_kind = field in ("kind", "listKind")
        faults = dns1035_label(value.lower() if is_kind else value) if value else []
        told = ",".join(faults)
        if faults:
            prefix = "may have mixed case, but should otherwise match: " if is_kind else ""
            yield invalid(f"{path}.{field}", value, prefix + told)
    for field in ("shortNames", "categories"):
        for index, name in enumerate(names.get(field) or ()):
            if faults := dns1035_label(name):
                yield invalid(f"{path}.{field}[{index}]", name, ",".join(faults))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same")


def _conversion(conversion: Obj, path: str, old: Obj | None) -> Iterable[Violation]:
    strategy, webhook = conversion.get("strategy"), conversion.get("webhook") or {}
    yield from _choice(strategy, f"{path}.strategy", _STRATEGIES)
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        for field, given in (("webhookClientConfig", config), ("conversionReviewVersions", versions)):
            if given:
                yield forbidden(f"{path}.{field}", "should not be set when strategy is not set to Webhook")
        return
    if config is None:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    else:
        yield from client_config(config, f"{path}.webhookClientConfig")
        bundle = config.get("caBundle") or ""
        if bundle and not is_bundle(bundle) and not _may_be_broken(old):
            told = "unable to load root certificates: unable to parse bytes as PEM block"
            yield invalid(f"{path}.webhookClientConfig.caBundle", bundle, told)
    if versions:
        yield from review_versions(versions, f"{path}.conversionReviewVersions")
    else:
        yield required(f"{path}.conversionReviewVersions")


def _may_be_broken(old: Obj | None) -> bool:
    """Whether a CA bundle may be unreadable: before the definition is established, or where it was before."""
    if old is None or not condition_is(old, "Established"):
        return True
    bundle = dig(old, "spec.conversion.webhook.clientConfig.caBundle", "")
    return bool(bundle) and not is_bundle(bundle)


def stored_versions(definition: Obj) -> Iterable[Violation]:
    """The refusals of status.storedVersions, which must all be versions still, the stored one among them."""
    path, status = "status.storedVersions", definition.get("status") or {}
    stored = status.get("storedVersions") or []
    versions = (definition.get("spec") or {}).get("versions") or []
    if not stored:
        yield invalid(path, stored, "must have at least one stored version")
        return
    for version in versions:
        name = version.get("name") or ""
        if version.get("storage") and name not in stored:
            yield invalid(path, stored, f"must have the storage version {name}")
    known = {version.get("name") for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            yield invalid(f"{path}[{index}]", name, _MIGRATE.format(name))


def _update(definition: Obj, old: Obj) -> Iterable[Violation]:
    if condition_is(old, "Established"):
        yield from immutable(definition, old, "spec.scope")
        yield from immutable(definition, old, "spec.names.kind")
    yield from immutable(definition, old, "spec.group")
    yield from immutable(definition, old, "spec.names.plural")


def _approval(definition: Obj, old: Obj | None) -> Iterable[Violation]:
    """Groups of the Kubernetes community need its approval, noted in an annotation."""
    group = (definition.get("spec") or {}).get("group") or ""
    if not any(group == domain or group.endswith(f".{domain}") for domain in _PROTECTED):
        return
    given, path = annotations_of(definition).get(APPROVED, ""), f"metadata.annotations[{APPROVED}]"
    if old is not None and annotations_of(old).get(APPROVED, "") == given:
        return
    told = f'protected groups must have approval annotation "{APPROVED}"'
    if not given:
        yield required(path, f"{told}, {_SEE}")
    elif not given.startswith("unapproved"):
        parts = urlsplit(given)
        if not (parts.scheme and parts.netloc):
            yield invalid(
                path, given, f'{told} with either a URL or a reason starting with "unapproved", {_SEE}'
            )
