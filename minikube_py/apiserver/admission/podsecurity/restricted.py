"""The restricted checks: pods are hardened. Source: "Pod Security Standards", Restricted."""

from minikube_py.apiserver.admission.podsecurity.baseline import PROFILES, added_capabilities, bad_seccomp
from minikube_py.apiserver.admission.podsecurity.checks import (
    Check,
    Offence,
    containers,
    plural,
    quoted,
    secured,
    security,
    setters,
    spec_of,
    unless_windows,
)
from minikube_py.meta.objects import Obj

VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
RESTRICTED_VOLUMES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
)
"""The volume types that are told of by name."""


def privilege_escalation(pod: Obj) -> Offence | None:
    """Every container says that it does not let privileges grow."""
    names = [name for name, context in secured(pod) if context.get("allowPrivilegeEscalation") is not False]
    told = f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Offence("allowPrivilegeEscalation != false", told) if names else None


def capabilities(pod: Obj) -> Offence | None:
    """Every container drops all capabilities, and adds back NET_BIND_SERVICE at most."""
    keeping = [
        name
        for name, context in secured(pod)
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())
    ]
    told = [f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding := added_capabilities(pod, frozenset(("NET_BIND_SERVICE",))):
        told.append(adding)
    return Offence("unrestricted capabilities", "; ".join(told)) if told else None


def volumes(pod: Obj) -> Offence | None:
    """Storage that is not the host's, nor reached past a claim."""
    names, types = [], set()
    for volume in spec_of(pod).get("volumes") or ():
        if any(volume.get(kind) is not None for kind in VOLUMES):
            continue
        names.append(volume.get("name", ""))
        types.add(next((kind for kind in RESTRICTED_VOLUMES if volume.get(kind) is not None), "unknown"))
    if not names:
        return None
    subject = f"{plural(len(names), 'volume')} {quoted(names)} {plural(len(names), 'uses', 'use')}"
    told = f"{subject} {plural(len(types), 'restricted volume type')} {quoted(sorted(types))}"
    return Offence("restricted volume types", told)


def non_root(pod: Obj) -> Offence | None:
    """The pod, or each container, says that it does not run as root."""
    reason, general = "runAsNonRoot != true", security(spec_of(pod)).get("runAsNonRoot")
    said = [(name, context.get("runAsNonRoot")) for name, context in secured(pod)]
    if who := setters(general is False, [name for name, value in said if value is False]):
        return Offence(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [name for name, value in said if value is None] if general is None else []
    told = f"pod or {containers(silent)} must set securityContext.runAsNonRoot=true"
    return Offence(reason, told) if silent else None


def not_user_0(pod: Obj) -> Offence | None:
    """Nothing runs as user 0."""
    names = [name for name, context in secured(pod) if context.get("runAsUser") == 0]
    who = setters(security(spec_of(pod)).get("runAsUser") == 0, names)
    return Offence("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(pod: Obj) -> Offence | None:
    """The pod, or each container, names a seccomp profile."""
    if bad := bad_seccomp(pod):
        return bad
    if (security(spec_of(pod)).get("seccompProfile") or {}).get("type") in PROFILES:
        return None
    silent = [name for name, context in secured(pod) if context.get("seccompProfile") is None]
    wanted = 'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    told = f"pod or {containers(silent)} must set {wanted}"
    return Offence("seccompProfile", told) if silent else None


CHECKS = (
    Check("allowPrivilegeEscalation", ((8, privilege_escalation), (25, unless_windows(privilege_escalation)))),
    Check(
        "capabilities_restricted",
        ((22, capabilities), (25, unless_windows(capabilities))),
        "capabilities_baseline",
    ),
    Check("restrictedVolumes", ((0, volumes),), "hostPathVolumes"),
    Check("runAsNonRoot", ((0, non_root),)),
    Check("runAsUser", ((23, not_user_0),)),
    Check(
        "seccompProfile_restricted", ((19, seccomp), (25, unless_windows(seccomp))), "seccompProfile_baseline"
    ),
)
"""In the order in which they are told of, after those of baseline."""
