"""From a pod to its sandbox: names, DNS, ports, namespaces, and the pod's /etc/hosts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from minikube_py.kubelet.cm.qos import cgroup_path, sandbox_resources
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.kuberuntime.security import selinux, supplemental_groups
from minikube_py.kubelet.kuberuntime.view import POD_NAME, POD_NAMESPACE, POD_UID
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    containers_of,
    dig,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from minikube_py.runtime.base import NamespaceOptions, PortMapping, SandboxConfig

MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_LENGTH = 3, 32, 2048  # the last in characters, spaces between included
MAX_HOSTNAME = 64  # the kernel's limit
GRACE = "io.kubernetes.pod.terminationGracePeriod"


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[str] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """nameserver, search and options lines; the last search counts (resolv.conf(5)), without trailing dots."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [word if word == "." else word.removesuffix(".") for word in words[1:]]
        elif words[0] == "options":
            options += words[1:]
    return Resolver(servers, searches, options)


def resolver(pod: Obj, config: KubeletConfig, host: Resolver) -> Resolver:
    """The pod's DNS configuration by its dnsPolicy and dnsConfig, cut to what resolvers can take."""
    asked = _asked_resolver(pod, config, host)
    searches: list[str] = []
    for search in asked.searches[:MAX_SEARCHES]:
        if len(" ".join([*searches, search])) > MAX_SEARCH_LENGTH:
            break
        searches.append(search)
    return Resolver(asked.servers[:MAX_SERVERS], tuple(searches), asked.options)


def dns_warnings(pod: Obj, config: KubeletConfig, host: Resolver) -> list[str]:
    """What was left out of the pod's DNS configuration, in Kubernetes' words."""
    asked, given = _asked_resolver(pod, config, host), resolver(pod, config, host)
    found = []
    if asked.servers != given.servers:
        line = " ".join(given.servers)
        told = "Nameserver limits were exceeded, some nameservers have been omitted"
        found.append(f"{told}, the applied nameserver line is: {line}")
    if asked.searches != given.searches:
        line = " ".join(given.searches)
        told = "Search Line limits were exceeded, some search paths have been omitted"
        found.append(f"{told}, the applied search line is: {line}")
    return found


def _asked_resolver(pod: Obj, config: KubeletConfig, host: Resolver) -> Resolver:
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy == "None":
        base = Resolver()
    elif policy == "Default" or not config.cluster_dns:
        base = host
    else:
        domain = config.cluster_domain
        own = [f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain]
        base = Resolver(config.cluster_dns, [*own, *(s for s in host.searches if s not in own)], ["ndots:5"])
    extra = spec.get("dnsConfig") or {}
    options = {option.partition(":")[0]: option for option in base.options}
    for option in extra.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return Resolver(
        tuple(dict.fromkeys([*base.servers, *(extra.get("nameservers") or ())])),
        tuple(dict.fromkeys([*base.searches, *(extra.get("searches") or ())])),
        tuple(options.values()),
    )


def hostname(pod: Obj, config: KubeletConfig) -> str:
    """The name that the pod's processes see: at most 63 characters, no trailing dash or dot."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return config.hostname or config.node_name
    if spec.get("setHostnameAsFQDN") and (full := fqdn(pod, config)):
        return full
    return _short_name(pod)


def _short_name(pod: Obj) -> str:
    name: str = pod["spec"].get("hostname") or name_of(pod)
    return name[:63].rstrip("-.")


def hostname_fault(pod: Obj, config: KubeletConfig) -> str:
    """Why no sandbox can have the pod's host name; empty where one can."""
    name = hostname(pod, config)
    if len(name) <= MAX_HOSTNAME or pod["spec"].get("hostNetwork"):
        return ""
    limits = f"({MAX_HOSTNAME} characters is the max, {len(name)} characters requested)"
    return f"failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long {limits}"


def fqdn(pod: Obj, config: KubeletConfig) -> str:
    """The pod's name under its subdomain, empty where it has none."""
    spec = pod["spec"]
    if not spec.get("subdomain"):
        return ""
    return f"{_short_name(pod)}.{spec['subdomain']}.{namespace_of(pod)}.svc.{config.cluster_domain}"


def hosts_file(pod: Obj, config: KubeletConfig, ips: Sequence[str], host_file: str) -> str:
    """The /etc/hosts that the kubelet manages; `host_file` is the node's, for pods in its network."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + host_file
    else:
        text = (
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n"
        )
        names = [name for name in (fqdn(pod, config), _short_name(pod)) if name]
        text += "".join(f"{ip}\t{chr(9).join(dict.fromkeys(names))}\n" for ip in ips)
    if aliases := spec.get("hostAliases"):
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias['ip']}\t{chr(9).join(alias.get('hostnames') or ())}\n" for alias in aliases)
    return text


def namespaces(pod: Obj) -> NamespaceOptions:
    """Which of the node's namespaces the pod shares."""
    spec = pod["spec"]
    return NamespaceOptions(
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_pid=bool(spec.get("shareProcessNamespace")),
    )


def identity(pod: Obj) -> dict[str, str]:
    """The labels by which sandboxes and containers are recognised after a restart."""
    return {POD_NAME: name_of(pod), POD_NAMESPACE: namespace_of(pod), POD_UID: uid_of(pod)}


def sandbox_config(pod: Obj, attempt: int, config: KubeletConfig, host: Resolver) -> SandboxConfig:
    """What the runtime is told of the pod's `attempt`-th sandbox."""
    spec = pod["spec"]
    security = spec.get("securityContext") or {}
    dns = resolver(pod, config, host)
    resources, overhead = sandbox_resources(pod)
    ports = [
        PortMapping(
            port["containerPort"],
            port.get("hostPort") or 0,
            port.get("protocol", "TCP"),
            port.get("hostIP", ""),
        )
        for container in spec["containers"]
        for port in container.get("ports") or ()
    ]
    return SandboxConfig(
        name=name_of(pod),
        namespace=namespace_of(pod),
        uid=uid_of(pod),
        attempt=attempt,
        hostname="" if spec.get("hostNetwork") else hostname(pod, config),
        log_directory=str(config.pod_log_dir(namespace_of(pod), name_of(pod), uid_of(pod))),
        dns_servers=dns.servers,
        dns_searches=dns.searches,
        dns_options=dns.options,
        ports=() if spec.get("hostNetwork") else ports,
        labels={**labels_of(pod), **identity(pod)},
        annotations={
            **annotations_of(pod),
            GRACE: str(spec.get("terminationGracePeriodSeconds", 30)),
        },
        cgroup_parent=cgroup_path(config.cgroup_root, pod) if config.cgroup_root else "",
        namespaces=namespaces(pod),
        sysctls={entry["name"]: entry["value"] for entry in security.get("sysctls") or ()},
        privileged=any(dig(c, "securityContext.privileged") for c in containers_of(spec)),
        run_as_user=security.get("runAsUser"),
        run_as_group=security.get("runAsGroup") if security.get("runAsUser") is not None else None,
        supplemental_groups=supplemental_groups(security),
        strict_groups=security.get("supplementalGroupsPolicy") == "Strict",
        selinux=selinux(security),
        seccomp="RuntimeDefault",
        resources=resources,
        overhead=overhead,
    )


def host_resolver(config: KubeletConfig) -> Resolver:
    """How the node itself resolves names; with nothing where its file cannot be read."""
    try:
        return parse_resolv_conf(config.resolv_conf.read_text(errors="replace"))
    except OSError:
        return Resolver()
