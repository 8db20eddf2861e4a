"""A container's security context: the container's fields over the pod's, over what the image says. Pure.

As in Kubernetes, users, groups and runAsNonRoot are looked at anew at every start; what the runtime is told is
explicit, so nothing depends on its own defaults but the RuntimeDefault profiles themselves.
"""

from collections.abc import Mapping
from pathlib import Path

from minikube_py.kubelet.kuberuntime.environment import ConfigRefused
from minikube_py.meta.objects import Obj, name_of, namespace_of, uid_of
from minikube_py.runtime.base import Image, Security


def security(pod: Obj, spec: Obj, image: Image, profiles: Path) -> Security:
    """The security context of container `spec`; `profiles` is the folder of seccomp profiles.
    Errors: ConfigRefused where runAsNonRoot forbids the user, or a profile has no name."""
    whole, own = _given(pod["spec"].get("securityContext")), _given(spec.get("securityContext"))
    merged = whole | own
    user, username = merged.get("runAsUser"), ""
    if merged.get("runAsNonRoot"):
        _require_non_root(pod, spec, user, image)
    if user is None:
        user, username = image.uid, image.username if image.uid is None else ""
    capabilities = own.get("capabilities") or {}
    unmasked = own.get("procMount") == "Unmasked"
    return Security(
        run_as_user=0 if user is None and not username else user,
        run_as_username=username,
        run_as_group=merged.get("runAsGroup"),
        supplemental_groups=supplemental_groups(whole),
        strict_groups=whole.get("supplementalGroupsPolicy") == "Strict",
        selinux=selinux(merged),
        privileged=bool(own.get("privileged")),
        read_only_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=list(capabilities.get("add") or ()),
        drop_capabilities=list(capabilities.get("drop") or ()),
        seccomp=seccomp(merged.get("seccompProfile"), profiles),
        apparmor=apparmor(merged.get("appArmorProfile")),
        masked_paths=() if unmasked else None,
        readonly_paths=() if unmasked else None,
    )


def _given(context: Obj | None) -> Obj:
    """The fields that are set."""
    return {name: value for name, value in (context or {}).items() if value is not None}


def supplemental_groups(whole: Obj) -> list[int]:
    """The groups of the pod's security context: fsGroup first."""
    groups = list(whole.get("supplementalGroups") or ())
    return [whole["fsGroup"], *groups] if whole.get("fsGroup") is not None else groups


def selinux(context: Obj) -> Mapping[str, str]:
    """The seLinuxOptions that are set: user, role, type, level."""
    return {name: value for name, value in (context.get("seLinuxOptions") or {}).items() if value}


def seccomp(profile: Obj | None, profiles: Path) -> str:
    """The runtime's form of a seccompProfile; without one the container is not confined.
    Errors: ConfigRefused."""
    if not profile:
        return "Unconfined"
    if profile["type"] != "Localhost":
        return str(profile["type"])
    if not profile.get("localhostProfile"):
        raise ConfigRefused("localhostProfile must be set if seccompProfile type is Localhost.")
    return f"localhost/{profiles / profile['localhostProfile']}"


def apparmor(profile: Obj | None) -> str:
    """The runtime's form of an appArmorProfile; empty for the runtime's choice. Errors: ConfigRefused."""
    if not profile:
        return ""
    if profile["type"] != "Localhost":
        return str(profile["type"])
    if not profile.get("localhostProfile"):
        raise ConfigRefused("missing localhost apparmor profile name")
    return f"localhost/{profile['localhostProfile']}"


def apparmor_profile(pod: Obj, spec: Obj) -> Obj:
    """The appArmorProfile that holds for a container; empty for none."""
    merged = _given(pod["spec"].get("securityContext")) | _given(spec.get("securityContext"))
    return merged.get("appArmorProfile") or {}


def is_recursive(mount: Obj) -> bool:
    """Whether a mount is to be read-only with all that is mounted below it, where that can be."""
    return mount.get("recursiveReadOnly") in ("Enabled", "IfPossible")


def _require_non_root(pod: Obj, spec: Obj, user: int | None, image: Image) -> None:
    """Errors: ConfigRefused where the container would run as root, or may."""
    where = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {spec["name"]})'
    if user == 0:
        raise ConfigRefused(f"container's runAsUser breaks non-root policy {where}")
    if user is not None:
        return
    if image.uid is None and image.username:
        raise ConfigRefused(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if not image.uid:
        raise ConfigRefused(f"container has runAsNonRoot and image will run as root {where}")
