"""Which sysctls a pod may set: the safe ones of Kubernetes, and those that the node's owner allows. Pure.

A sysctl is told by its name with dots; `net/ipv4/tcp_rmem` is the same one. What is allowed here may still be
refused by the container runtime.
"""

from collections.abc import Sequence

from minikube_py.meta.objects import Obj

SAFE = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)
NAMESPACES = (
    ("kernel.sem", "ipc"),
    ("kernel.shm", "ipc"),
    ("kernel.msg", "ipc"),
    ("fs.mqueue.", "ipc"),
    ("net.", "net"),
)


def normalized(name: str) -> str:
    """The name with dots between its parts: where a slash comes first, slashes separate and dots belong to a
    name (sysctl.d(5))."""
    first = next((mark for mark in name if mark in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def namespace(name: str) -> str:
    """The kernel namespace that holds a sysctl, or the sysctls that begin so: ipc, net, or '' for none."""
    return next((kind for start, kind in NAMESPACES if name.startswith(start)), "")


def is_pattern(text: str) -> bool:
    """Whether `text` can be allowed: the name of a sysctl that a namespace has of its own, or a start of such
    names with a star."""
    return bool(namespace(normalized(text).removesuffix("*")))


def forbidden(pod: Obj, allowed_unsafe: Sequence[str]) -> str:
    """Why the pod's sysctls are not allowed, in the kubelet's words; empty where they are."""
    spec = pod["spec"]
    host = {"ipc": spec.get("hostIPC"), "net": spec.get("hostNetwork")}
    for entry in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = normalized(entry["name"])
        if not any(_covers(normalized(pattern), name) for pattern in (*SAFE, *allowed_unsafe)):
            return f'forbidden sysctl: "{name}" not allowlisted'
        if host.get(kind := namespace(name)):
            return f'forbidden sysctl: "{name}" not allowed with host {kind} enabled'
    return ""


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
