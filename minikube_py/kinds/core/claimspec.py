"""The spec of a claim to storage: of a PersistentVolumeClaim, a StatefulSet's template, an ephemeral volume."""

from collections.abc import Iterable

from minikube_py.kinds.resourcenames import validate_positive
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.kinds.strategy import if_absent
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import forbidden, invalid, not_supported, required

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def default_claim_spec(spec: Obj) -> None:
    """The defaults of a claim's spec."""
    if_absent(spec, "volumeMode", "Filesystem")


def pair_data_sources(spec: Obj) -> None:
    """dataSource and dataSourceRef name the same, in place; clients may give either. The old field takes only
    what it always took: claims and snapshots."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and not _is_old_source(source):
        spec.pop("dataSource")
        source = None
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif source is None and reference is not None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def _is_old_source(source: Obj) -> bool:
    named = source.get("apiGroup") or "", source.get("kind")
    return named in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def validate_claim_spec(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of a claim's spec, after defaulting."""
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from validate_label_selector(spec.get("selector"), f"{path}.selector")
    yield from validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    size, place = dig(spec, "resources.requests.storage"), f"{path}.resources[storage]"
    if size is None:
        yield required(place)
    else:
        yield from validate_positive(size, place)
    yield from validate_class_name(spec.get("storageClassName") or "", f"{path}.storageClassName")
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _data_source(spec, path)
    name = spec.get("volumeAttributesClassName") or ""
    yield from validate_class_name(name, f"{path}.volumeAttributesClassName")


def validate_access_modes(modes: Iterable[str], path: str) -> Iterable[Violation]:
    """The refusals of access modes; ReadWriteOncePod stands alone."""
    given = list(modes)
    for mode in given:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in given and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in given):
        yield forbidden(path, "may not use ReadWriteOncePod with other access modes")


def validate_class_name(name: str, path: str) -> Iterable[Violation]:
    """The refusals of the name of a class, where there is one."""
    for reason in dns1123_subdomain(name) if name else ():
        yield invalid(path, name, reason)


def _data_source(spec: Obj, path: str) -> Iterable[Violation]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, given in (("dataSource", source), ("dataSourceRef", reference)):
        if given is not None:
            yield from _reference(given, f"{path}.{field}")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        told = "may not be specified when dataSourceRef.namespace is specified"
        yield invalid(path, f"{path}.dataSource", told)
    elif any(source.get(key) != reference.get(key) for key in ("apiGroup", "kind", "name")):
        yield invalid(path, f"{path}.dataSource", "must match dataSourceRef")


def _reference(reference: Obj, path: str) -> Iterable[Violation]:
    kind, group, namespace = (reference.get(key) or "" for key in ("kind", "apiGroup", "namespace"))
    for field in ("name", "kind"):
        if not reference.get(field):
            yield required(f"{path}.{field}")
    if not group and kind != "PersistentVolumeClaim":
        yield invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    for field, text, rule in (
        ("apiGroup", group, dns1123_subdomain),
        ("namespace", namespace, dns1123_label),
    ):
        for reason in rule(text) if text else ():
            yield invalid(f"{path}.{field}", text, reason)
