"""AppArmor profiles by annotation, as they were before the fields: a pod's are copied to its containers' fields
when it is created, and its client is told of the field (KEP-24). Pure.
"""

from collections.abc import Iterator

from minikube_py.meta.objects import Obj, annotations_of, containers_of, dig

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_LOCAL = "localhost/"
_PROFILES = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}


def profile_of(annotation: str) -> Obj | None:
    """The profile that an annotation means; None where it means none."""
    if annotation in _PROFILES:
        return {"type": _PROFILES[annotation]}
    name = annotation.removeprefix(_LOCAL)
    if name == annotation or not name or name != name.strip():
        return None
    return {"type": "Localhost", "localhostProfile": name}


def copy_annotations(pod: Obj) -> None:
    """Give the containers of a new pod the profiles of their annotations, in place, where they have none of
    their own and the pod's is another."""
    spec, annotations = pod["spec"], annotations_of(pod)
    if dig(spec, "os.name") == "windows" or not any(key.startswith(ANNOTATION) for key in annotations):
        return
    whole = dig(spec, "securityContext.appArmorProfile")
    for container in containers_of(spec):
        annotation = annotations.get(f"{ANNOTATION}{container['name']}")
        profile = None if annotation is None else profile_of(annotation)
        if profile is not None and profile != whole and not dig(container, "securityContext.appArmorProfile"):
            container["securityContext"] = {
                **(container.get("securityContext") or {}),
                "appArmorProfile": profile,
            }


def deprecated_annotations(holder: Obj, base: str = "", *, template: bool = False) -> Iterator[str]:
    """The warnings about annotations of a pod whose profiles were copied, or of a template without fields."""
    annotations, spec = annotations_of(holder), holder.get("spec") or {}
    if not annotations:
        return
    whole = dig(spec, "securityContext.appArmorProfile")
    for container in containers_of(spec):
        key = f"{ANNOTATION}{container.get('name')}"
        if key not in annotations:
            continue
        own, meant = dig(container, "securityContext.appArmorProfile"), profile_of(annotations[key])
        copied = (own is None and meant is None) or (meant is not None and own == meant and own != whole)
        if (whole is None and own is None) if template else copied:
            told = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            yield f"{base}metadata.annotations[{key}]: {told}"
