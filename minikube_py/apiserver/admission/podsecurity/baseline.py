"""The baseline checks: no known way out of the container. Source: "Pod Security Standards", Baseline."""

from collections.abc import Iterator

from minikube_py.apiserver.admission.podsecurity.checks import (
    Check,
    Judge,
    Offence,
    containers,
    plural,
    quoted,
    secured,
    security,
    setters,
    spec_of,
)
from minikube_py.meta.objects import Obj, annotations_of, containers_of

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
PROFILES = ("RuntimeDefault", "Localhost")
CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
    )
)
SYSCTLS_27 = SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29 = SYSCTLS_27 | {
    f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
}
SYSCTLS_32 = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def app_armor(pod: Obj) -> Offence | None:
    """AppArmor is not switched off, by field or by annotation."""
    values: set[str] = set()

    def is_bad(holder: Obj) -> bool:
        profile = holder.get("appArmorProfile")
        if profile is None or profile.get("type") in PROFILES:
            return False
        values.add(profile.get("type") or "")
        return True

    pod_too = is_bad(security(spec_of(pod)))
    names = [name for name, context in secured(pod) if is_bad(context)]
    noted = sorted(
        f'{key}="{value}"'
        for key, value in annotations_of(pod).items()
        if key.startswith(APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    who = [setters(pod_too, names)] if pod_too or names else []
    who += [plural(len(noted), "annotation")] if noted else []
    if not who:
        return None
    told = [*sorted(values), *noted]
    return Offence(
        f"forbidden AppArmor {plural(len(told), 'profile')}",
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(told)}",
    )


def added_capabilities(pod: Obj, allowed: frozenset[str]) -> str:
    """Which containers add capabilities that are not allowed, as a sentence; empty where none does."""
    names, added = [], set()
    for name, context in secured(pod):
        bad = set((context.get("capabilities") or {}).get("add") or ()) - allowed
        if bad:
            names.append(name)
            added |= bad
    if not names:
        return ""
    return f"{containers(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"


def capabilities(pod: Obj) -> Offence | None:
    """No capabilities beyond those that runtimes give by default."""
    told = added_capabilities(pod, CAPABILITIES)
    return Offence("non-default capabilities", told) if told else None


def host_namespaces(pod: Obj) -> Offence | None:
    """The host's namespaces are not shared."""
    spec = spec_of(pod)
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Offence("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(pod: Obj) -> Offence | None:
    """No path of the host is mounted."""
    names = [v.get("name", "") for v in spec_of(pod).get("volumes") or () if v.get("hostPath") is not None]
    return Offence("hostPath volumes", f"{plural(len(names), 'volume')} {quoted(names)}") if names else None


def host_ports(pod: Obj) -> Offence | None:
    """No port of the host is taken."""
    names, ports = [], set()
    for container in containers_of(spec_of(pod)):
        taken = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if taken:
            names.append(container.get("name", ""))
            ports |= taken
    if not names:
        return None
    uses, word = plural(len(names), "uses", "use"), plural(len(ports), "hostPort")
    return Offence("hostPort", f"{containers(names)} {uses} {word} {', '.join(sorted(ports))}")


def _hosts(container: Obj) -> Iterator[str]:
    probes = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    hooks = [(container.get("lifecycle") or {}).get(name) for name in ("postStart", "preStop")]
    for action in (*probes, *hooks):
        for way in ("httpGet", "tcpSocket"):
            if host := ((action or {}).get(way) or {}).get("host"):
                yield host


def host_probes(pod: Obj) -> Offence | None:
    """Probes and lifecycle hooks speak to the pod alone."""
    names, hosts = set(), set()
    for container in containers_of(spec_of(pod)):
        if found := set(_hosts(container)):
            names.add(container.get("name", ""))
            hosts |= found
    if not names:
        return None
    uses, word = plural(len(names), "uses", "use"), plural(len(hosts), "probe or lifecycle host")
    told = f"{containers(sorted(names))} {uses} {word} {quoted(sorted(hosts))}"
    return Offence("probe or lifecycle host", told)


def privileged(pod: Obj) -> Offence | None:
    """No container is privileged."""
    names = [name for name, context in secured(pod) if context.get("privileged")]
    return (
        Offence("privileged", f"{containers(names)} must not set securityContext.privileged=true")
        if names
        else None
    )


def proc_mount(pod: Obj) -> Offence | None:
    """/proc is masked as by default."""
    found = [(name, c["procMount"]) for name, c in secured(pod) if c.get("procMount") not in (None, "Default")]
    if not found:
        return None
    names, values = [name for name, _ in found], sorted({value for _, value in found})
    return Offence(
        "procMount", f"{containers(names)} must not set securityContext.procMount to {quoted(values)}"
    )


def selinux(types: frozenset[str]) -> Judge:
    """Only the given SELinux types, and neither user nor role."""

    def judge(pod: Obj) -> Offence | None:
        bad_types: set[str] = set()
        fields: set[str] = set()

        def is_bad(context: Obj) -> bool:
            options = context.get("seLinuxOptions") or {}
            wrong = {options.get("type") or ""} - types
            named = {field for field in ("user", "role") if options.get(field)}
            bad_types.update(wrong)
            fields.update(named)
            return bool(wrong or named)

        pod_too = is_bad(security(spec_of(pod)))
        who = setters(pod_too, [name for name, context in secured(pod) if is_bad(context)])
        if not who:
            return None
        told = [f"{plural(len(bad_types), 'type')} {quoted(sorted(bad_types))}"] if bad_types else []
        told += [f"{field} may not be set" for field in ("user", "role") if field in fields]
        return Offence(
            "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(told)}"
        )

    return judge


def seccomp_annotations(pod: Obj) -> Offence | None:
    """Before v1.19: no annotation switches seccomp off."""
    notes = annotations_of(pod)
    keys = {SECCOMP_POD, *(f"{SECCOMP_CONTAINER}{c.get('name', '')}" for c in containers_of(spec_of(pod)))}
    bad = sorted(
        f'{key}="{notes[key]}"'
        for key in keys & notes.keys()
        if notes[key] not in ("runtime/default", "docker/default") and not notes[key].startswith("localhost/")
    )
    return (
        Offence("seccompProfile", f"forbidden {plural(len(bad), 'annotation')} {', '.join(bad)}")
        if bad
        else None
    )


def bad_seccomp(pod: Obj) -> Offence | None:
    """Seccomp is not switched off by a field."""
    values: set[str] = set()

    def is_bad(context: Obj) -> bool:
        profile = context.get("seccompProfile")
        if profile is None or profile.get("type") in PROFILES:
            return False
        values.add(profile.get("type") or "")
        return True

    pod_too = is_bad(security(spec_of(pod)))
    who = setters(pod_too, [name for name, context in secured(pod) if is_bad(context)])
    told = f"{who} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Offence("seccompProfile", told) if who else None


def sysctls(allowed: frozenset[str]) -> Judge:
    """Only sysctls that are the pod's own and safe."""

    def judge(pod: Obj) -> Offence | None:
        found = [one.get("name", "") for one in security(spec_of(pod)).get("sysctls") or ()]
        bad = [name for name in found if name not in allowed]
        return Offence("forbidden sysctls", ", ".join(bad)) if bad else None

    return judge


def host_process(pod: Obj) -> Offence | None:
    """No Windows host process."""

    def is_host(context: Obj) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    pod_too = is_host(security(spec_of(pod)))
    who = setters(pod_too, [name for name, context in secured(pod) if is_host(context)])
    told = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Offence("hostProcess", told) if who else None


CHECKS = (
    Check("appArmorProfile", ((0, app_armor),)),
    Check("capabilities_baseline", ((0, capabilities),)),
    Check("hostNamespaces", ((0, host_namespaces),)),
    Check("hostPathVolumes", ((0, host_path_volumes),)),
    Check("hostPorts", ((0, host_ports),)),
    Check("hostProbesAndHostLifecycle", ((34, host_probes),)),
    Check("privileged", ((0, privileged),)),
    Check("procMount", ((0, proc_mount),)),
    Check(
        "seLinuxOptions", ((0, selinux(SELINUX_TYPES)), (31, selinux(SELINUX_TYPES | {"container_engine_t"})))
    ),
    Check("seccompProfile_baseline", ((0, seccomp_annotations), (19, bad_seccomp))),
    Check(
        "sysctls",
        (
            (0, sysctls(SYSCTLS)),
            (27, sysctls(SYSCTLS_27)),
            (29, sysctls(SYSCTLS_29)),
            (32, sysctls(SYSCTLS_32)),
        ),
    ),
    Check("windowsHostProcess", ((0, host_process),)),
)
"""In the order in which they are told of."""
