"""Validation of security contexts, of pods and of containers."""

import re
from collections.abc import Iterable

from minikube_py.kinds.paths import validate_descending_path
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required, too_long

_MAX_ID = 2**31 - 1
_ID_RANGE = f"must be between 0 and {_MAX_ID}, inclusive"
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_MAX_PROFILE = 4095
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = f"^({_SEGMENT}[\\./])*{_SEGMENT}$"
_MAX_SYSCTL = 253
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
"""How the names of sysctls of the IPC namespace begin."""
_POLICIES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}
_NOT_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls",
    "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
    "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount",
)  # fmt: skip
_FIELDS = ("initContainers", "containers", "ephemeralContainers")


def validate_pod_security(spec: Obj, path: str) -> Iterable[Violation]:
    """The refusals of what a whole pod says of its security: `securityContext`, host namespaces, the system."""
    context, place = spec.get("securityContext") or {}, f"{path}.securityContext"
    if context:
        yield from _ids(context, place)
        yield from _sysctls(context.get("sysctls") or (), spec, f"{place}.sysctls")
        for field, supported in _POLICIES.items():
            if context.get(field) is not None and context[field] not in supported:
                yield not_supported(f"{place}.{field}", context[field], supported)
        yield from _profiles(context, place)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        told = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid(f"{place}.shareProcessNamespace", True, told)
    if spec.get("hostUsers") is False:
        yield from _user_namespace(spec, path)
    if spec.get("os") is not None:
        yield from _system(spec, path)


def validate_security(context: Obj, host_users: bool, path: str) -> Iterable[Violation]:
    """The refusals of a container's security context."""
    if not context:
        return
    yield from _ids(context, path)
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
    if host_users and mount == "Unmasked":
        yield invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from _profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        told = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            yield invalid(path, context, f"{told} `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            yield invalid(path, context, f"{told} `capabilities.Add` CAP_SYS_ADMIN")


def _ids(context: Obj, path: str) -> Iterable[Violation]:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        number = context.get(field)
        if number is not None and not 0 <= number <= _MAX_ID:
            yield invalid(f"{path}.{field}", number, _ID_RANGE)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _MAX_ID:
            yield invalid(f"{path}.supplementalGroups[{index}]", group, _ID_RANGE)


def _profiles(context: Obj, path: str) -> Iterable[Violation]:
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from _app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _seccomp(profile: Obj | None, path: str) -> Iterable[Violation]:
    if profile is None:
        return
    type, local = profile.get("type") or "", profile.get("localhostProfile")
    if not type:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif type not in _PROFILES:
        yield not_supported(f"{path}.type", type, _PROFILES)
    if type == "Localhost" and local is None:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif type == "Localhost":
        yield from validate_descending_path(local or "", f"{path}.localhostProfile")
    elif local is not None:
        told = "can only be set when seccomp type is Localhost"
        yield invalid(f"{path}.localhostProfile", profile, told)


def _app_armor(profile: Obj | None, path: str) -> Iterable[Violation]:
    if profile is None:
        return
    type, local, place = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if type == "Localhost":
        if not local:
            yield required(place, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            yield invalid(place, local, "must not be padded with whitespace")
        if len(local or "") > _MAX_PROFILE:
            yield too_long(place, _MAX_PROFILE)
    elif not type:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif type not in _PROFILES:
        yield not_supported(f"{path}.type", type, _PROFILES)
    elif local is not None:
        yield invalid(place, local, "can only be set when AppArmor type is Localhost")


def _sysctls(sysctls: Iterable[Obj], spec: Obj, path: str) -> Iterable[Violation]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        place, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            yield required(place)
        elif len(name) > _MAX_SYSCTL or not re.match(_SYSCTL, name):
            yield invalid(place, name, f"must have at most {_MAX_SYSCTL} characters and match regex {_SYSCTL}")
        elif name in seen:
            yield duplicate(place, name)
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield invalid(place, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and dotted.startswith(_IPC):
            yield invalid(place, name, "may not be specified when 'hostIPC' is true")


def _user_namespace(spec: Obj, path: str) -> Iterable[Violation]:
    told = "when `hostUsers` is false"
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            yield forbidden(f"{path}.{shown}", told)
    for field in _FIELDS:
        for index, container in enumerate(spec.get(field) or ()):
            if container.get("volumeDevices"):
                yield forbidden(f"{path}.{field}[{index}].volumeDevices", told)


def _system(spec: Obj, path: str) -> Iterable[Violation]:
    """`os`, and what only the other system's containers may have."""
    name = spec["os"].get("name") or ""
    if not name:
        yield required(f"{path}.os.name", "cannot be empty")
        return
    if name not in ("linux", "windows"):
        yield not_supported(f"{path}.os", name, ("linux", "windows"))
        return
    if name == "windows":
        for field in ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"):
            if spec.get(field) is not None and (spec[field] or field in ("hostUsers", "shareProcessNamespace")):
                yield forbidden(f"{path}.{field}", "cannot be set for a windows pod")
    contexts = [(f"{path}.securityContext", spec.get("securityContext") or {})]
    for group in _FIELDS:
        for index, container in enumerate(spec.get(group) or ()):
            place = f"{path}.{group}[{index}].securityContext"
            contexts.append((place, container.get("securityContext") or {}))
    for place, context in contexts:
        if name == "linux" and context.get("windowsOptions") is not None:
            yield forbidden(f"{place}.windowsOptions", "windows options cannot be set for a linux pod")
        for field in _NOT_ON_WINDOWS if name == "windows" else ():
            if context.get(field) is not None:
                yield forbidden(f"{place}.{field}", "cannot be set for a windows pod")
