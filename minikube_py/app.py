"""The composition root: builds a cluster from its rooms. `Cluster.serve` reads as the boot order.

Everything here runs in one process and one event loop. A SIGTERM stops pods, containerd and the process and
leaves nothing on the machine but the profile's folder; a killed process leaves the containers running, and the
next start adopts them.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import orjson

from minikube_py import KUBERNETES_VERSION, __version__, collect
from minikube_py.aio.clock import SystemClock
from minikube_py.aio.collection import Settled
from minikube_py.aio.service import Service, Services
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.rbac import Attributes
from minikube_py.apiserver.server import ApiServer
from minikube_py.apiserver.tokens import ISSUER, InvalidToken, ServiceAccountTokens
from minikube_py.client.election import Elected, ElectionConfig, Led
from minikube_py.client.local import LocalClient, LocalClients
from minikube_py.cluster import firewall, kubeconfig, ownscope, pki, registries
from minikube_py.cluster.bridgewatch import BridgeWatch
from minikube_py.cluster.cni import CniConfig, plugin_folder
from minikube_py.cluster.containerd import ContainerdProcess, listener
from minikube_py.cluster.containerd_config import ContainerdConfig, lacks_resource_capability
from minikube_py.cluster.deaf import deaf
from minikube_py.cluster.network import Bridge
from minikube_py.cluster.profile import Network, Profile
from minikube_py.cluster.resolv import resolv_conf
from minikube_py.cluster.traces import remove_traces
from minikube_py.config import Settings, reserved, words
from minikube_py.controllers.base import ControllerConfig
from minikube_py.controllers.manager import ControllerManager
from minikube_py.dns.server import DnsConfig, DnsServer, upstreams_of
from minikube_py.errors import Unauthorized
from minikube_py.kinds.core.node import Node
from minikube_py.kubelet.agent import Kubelet
from minikube_py.kubelet.config import KubeletConfig, ServerConfig
from minikube_py.kubelet.eviction import thresholds
from minikube_py.kubelet.images.image_gc import ImageGcConfig
from minikube_py.kubelet.kuberuntime.shutdown import end_pods
from minikube_py.kubelet.node.machine import process_usage
from minikube_py.kubelet.server.access import AccessRequest, Decision
from minikube_py.kubelet.simulated.agent import SimulatedKubelets
from minikube_py.kubelet.simulated.nodes import add_nodes, until_ready
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, condition_is
from minikube_py.proxy.proxier import KubeProxy
from minikube_py.proxy.rules import ProxyConfig
from minikube_py.registry.base import ClusterFacts, User
from minikube_py.registry.catalogue import Catalogue
from minikube_py.registry.resource import Registry
from minikube_py.runtime.base import Runtime
from minikube_py.runtime.containerd import Containerd
from minikube_py.runtime.pause import IMAGE, ensure_pause
from minikube_py.scheduler.configuration import load as scheduler_profiles
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.store.sqlite import Durability, SqliteStore

log = logging.getLogger(__name__)

STATUS_PATH = "/minikube-py/status"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
"""The label of the node's role, which a node may not give itself."""
ELECTION_RETRY = 5.0
"""Seconds between renewals of the leaders' Leases, which hold for 15: rare, as nobody waits for them."""
NODES_WITHIN = 30.0
"""Seconds that `start` waits for simulated nodes to be Ready."""

Say = Callable[[str], None]
"""Tells the user of a step that is done."""


class Cluster:
    """One cluster on this machine."""

    def __init__(self, profile: Profile, settings: Settings, say: Say) -> None:
        self.profile, self.settings, self.say = profile, settings, say
        self.clock = SystemClock()
        self.begun = time.monotonic()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Boot, call `ready` once the API, the node and DNS answer, and run until SIGTERM or SIGINT; a second
        signal leaves containers no more time."""
        stopped, hurry = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(
                number, lambda: hurry.set() if stopped.is_set() else stopped.set()
            )
        profile = self.profile
        profile.make_folders()
        ownscope.settle(profile.cgroup_root)
        network = profile.claim_network()
        async with AsyncExitStack() as stack:
            boot = await stack.enter_async_context(Tasks("boot"))
            starting = boot.spawn(self._runtime(), "containerd")  # it starts while the rest is built
            noticed = boot.spawn(firewall.hindrances(profile.bridge, network.pod_cidr), "firewall")
            keys = self._keys(network)
            await self._bridge(network).ensure()
            store = await SqliteStore.open(
                profile.store_file, self.clock, durability=Durability[self.settings.durability.upper()]
            )
            stack.push_async_callback(store.close)
            facts = ClusterFacts(root_ca=keys.ca.certificate.read_text(), service_cidr=network.service_cidr)
            tokens = ServiceAccountTokens.load(keys.service_accounts, clock=self.clock)
            kinds = Catalogue(collect.values("minikube_py.kinds", Kind))
            registry = Registry(store, kinds, facts, self.clock, tokens)
            clients = LocalClients(registry)
            api = ApiServer(registry, self._api_config(network, keys, facts), self.clock)
            proxy = KubeProxy(clients.named("kube-proxy"), self.clock, self._proxy_config(network))
            runtime = await starting
            stack.push_async_callback(runtime.close)
            services = self._services(api, proxy, clients, runtime, network, keys)
            self._running = Services(services, self.clock)
            await self._running.start()
            await self._node_ready(clients.named("minikube-py"))
            if self.settings.nodes:
                await add_nodes(clients.named("minikube-py"), self.settings.nodes)
                up = await until_ready(
                    clients.named("minikube-py"), self.clock, self.settings.nodes, NODES_WITHIN
                )
                self.say(f"{up} of {self.settings.nodes} simulated nodes are Ready")
            self.say(f"the node {profile.node_name} is Ready")
            for hindrance in await noticed:
                self.say(hindrance)
            ready()
            _settle_memory()
            await stopped.wait()
            await self._running.stop()
            await end_pods(runtime, hurry, await asyncio.to_thread(deaf, profile.cgroup_root))
            await proxy.remove()
        await remove_traces(profile, network)

    def _bridge(self, network: Network) -> Bridge:
        routed = (network.service_cidr, network.load_balancer_cidr)
        return Bridge(self.profile.bridge, network.gateway_with_prefix, routed)

    def _keys(self, network: Network) -> pki.Pki:
        addresses = ["127.0.0.1", network.gateway, network.kubernetes_ip]
        extra = [self.settings.listen_address] if self.settings.listen_address not in ("", "0.0.0.0") else []
        leaves = pki.subjects(self.profile.node_name, addresses, extra)
        keys = pki.ensure(self.profile.pki, leaves, pki.system_now())
        access = kubeconfig.administrator(self.profile.name, network.api_port, keys)
        kubeconfig.write_own(access, self.profile.folder / "kubeconfig")
        return keys

    async def _runtime(self) -> Containerd:
        """The container runtime, with the sandbox image in it."""
        socket = await self._containerd()
        state = self._child.config.state if self._child is not None else None
        runtime = await Containerd.connect(socket, state=state)
        try:
            await ensure_pause(runtime.images)
        except BaseException:
            await runtime.close()
            raise
        return runtime

    async def _containerd(self) -> Path:
        """The socket of a running containerd: the one the user named, or our own, which is then watched."""
        if self.settings.container_runtime_endpoint:
            return Path(self.settings.container_runtime_endpoint.removeprefix("unix://"))
        begin = time.monotonic()
        child = ContainerdProcess(containerd_config(self.profile), keep_running=True)  # it ends after its pods
        cni(self.profile).write()
        registries.write(child.config.certs, registry_hosts(self.settings))
        pid = await child.start()
        self._child = child
        self.say(f"containerd runs (pid {pid}, {time.monotonic() - begin:.2f} s)")
        return self.profile.containerd_socket

    _child: ContainerdProcess | None = None
    _running: Services

    def _services(
        self,
        api: ApiServer,
        proxy: KubeProxy,
        clients: LocalClients,
        runtime: Runtime,
        network: Network,
        keys: pki.Pki,
    ) -> list[Service]:
        """Every component, in the order in which they start; they stop in reverse."""
        node = User(f"system:node:{self.profile.node_name}", groups=("system:nodes", "system:authenticated"))
        controllers = ControllerConfig(
            root_ca=keys.ca.certificate.read_text(),
            signer=api.tokens,
            authority=(keys.ca.certificate.read_bytes(), keys.ca.key.read_bytes()),
            allows=api.allows,
            read=api.read_metrics,
            cluster_cidr=network.cluster_cidr,
            load_balancer_pool=network.load_balancer_cidr,
        )
        dns = DnsConfig(
            addresses=("127.0.0.1", network.gateway),
            port=network.dns_port,
            upstreams=upstreams_of(Path("/etc/resolv.conf")),
            cluster_ip=network.dns_ip,
        )
        kubelet = Kubelet(
            clients.named("kubelet", node),
            runtime,
            self.clock,
            self._kubelet_config(network, keys),
            KubeletAccess(api),
        )
        own = [self._child] if self._child is not None else []
        manager = ControllerManager(clients, self.clock, controllers)
        profiles = scheduler_profiles(self.settings.scheduler_config)
        scheduler = Scheduler(clients.named("kube-scheduler"), self.clock, profiles)
        for metric in (manager, scheduler):
            api.metrics.register(metric)
        return [
            *own,
            BridgeWatch(self._bridge(network), self.profile.containerd_state),
            clients.registry,
            api,
            self._elected(manager, clients, api),
            self._elected(scheduler, clients, api),
            SimulatedKubelets(clients.named("kubelet"), self.clock, self.profile.node_name),
            proxy,
            DnsServer(clients.named("kube-dns"), dns),
            kubelet,
        ]

    def _elected(self, led: Led, clients: LocalClients, api: ApiServer) -> Elected:
        """`led` while this cluster's process holds its Lease. The identity is the same after a restart: nobody
        else has the store, so there is nobody to wait for."""
        config = ElectionConfig(led.name, f"{self.profile.node_name}_{self.profile.name}", retry=ELECTION_RETRY)
        elected = Elected(led, clients.named(led.name), self.clock, config)
        api.metrics.register(elected)
        return elected

    def _api_config(self, network: Network, keys: pki.Pki, facts: ClusterFacts) -> ApiServerConfig:
        hosts = ["127.0.0.1", network.gateway]
        if self.settings.listen_address:
            everywhere = self.settings.listen_address == "0.0.0.0"
            hosts = ["0.0.0.0"] if everywhere else [*hosts, self.settings.listen_address]
        return ApiServerConfig(
            listen=[(host, network.api_port) for host in hosts],
            certificate=keys.apiserver.certificate,
            key=keys.apiserver.key,
            client_ca=keys.ca.certificate,
            service_account_key=keys.service_accounts,
            kubelet_client_certificate=keys.apiserver_kubelet_client.certificate,
            kubelet_client_key=keys.apiserver_kubelet_client.key,
            front_proxy_client_certificate=keys.front_proxy_client.certificate,
            front_proxy_client_key=keys.front_proxy_client.key,
            front_proxy_ca=keys.front_proxy_ca.certificate,
            audit_log=self._audit_log(),
            audit_policy=Path(self.settings.audit_policy) if self.settings.audit_policy else None,
            facts=facts,
            advertise=(network.gateway, network.api_port),
            extra={STATUS_PATH: self.status},
        )

    def _audit_log(self) -> Path | None:
        """Where the audit log goes: where the user says, beside the other logs where there is but a policy."""
        if self.settings.audit_log:
            return Path(self.settings.audit_log)
        return self.profile.logs / "audit.log" if self.settings.audit_policy else None

    def _kubelet_config(self, network: Network, keys: pki.Pki) -> KubeletConfig:
        profile, chosen = self.profile, self.settings
        return KubeletConfig(
            node_name=profile.node_name,
            node_ip=network.gateway,
            root_dir=profile.kubelet,
            log_dir=profile.pod_logs,
            static_pod_path=profile.manifests,
            local_path_root=profile.storage,
            pod_cidr=network.pod_cidr,
            version=KUBERNETES_VERSION,
            cluster_dns=(network.dns_ip,),
            kubernetes_service=(network.kubernetes_ip, 443),
            resolv_conf=resolv_conf(),
            cgroup_root=f"{profile.cgroup_root}/kubepods",
            max_pods=self.settings.max_pods,
            parallel_pulls=self.settings.max_parallel_image_pulls,
            system_reserved=reserved(self.settings.system_reserved),
            kube_reserved=reserved(self.settings.kube_reserved),
            pod_pids_limit=max(0, self.settings.pod_pids_limit),
            allowed_unsafe_sysctls=words(self.settings.allowed_unsafe_sysctls),
            eviction=thresholds.told(*chosen.eviction),
            image_gc=ImageGcConfig(*chosen.image_gc),
            image_dir=profile.containerd / "root" if not chosen.container_runtime_endpoint else None,
            server=ServerConfig(
                certificate=keys.kubelet.certificate,
                key=keys.kubelet.key,
                client_ca=keys.ca.certificate,
                addresses=("127.0.0.1", network.gateway),
                port=network.kubelet_port,
            ),
        )

    def _proxy_config(self, network: Network) -> ProxyConfig:
        profile, cidrs = self.profile, (network.pod_cidr, network.cluster_cidr)
        return ProxyConfig(profile.node_name, profile.nft_table, *cidrs, profile.bridge, tells=True)

    async def _node_ready(self, client: LocalClient) -> None:
        """Wait until the node says it is Ready, and give it its role. Errors: TimeoutError."""
        found = asyncio.Event()
        stop = client.cache.subscribe(
            Node, lambda change: found.set() if condition_is(change.object, "Ready") else None
        )
        try:
            async with asyncio.timeout(30):
                await found.wait()
        finally:
            stop()
        role = {"metadata": {"labels": {CONTROL_PLANE: ""}}}
        await client.patch(Node, Key("", self.profile.node_name), role)

    async def status(self) -> bytes:
        """What `minikube-py status` shows, as JSON."""
        process = {"pid": os.getpid(), **process_usage(os.getpid())}
        components = [_health(asdict(health)) for health in self._running.health.values()]
        pid = listener(self.profile.containerd_socket) if self._child else None
        return orjson.dumps(
            {
                "profile": self.profile.name,
                "version": __version__,
                "kubernetesVersion": KUBERNETES_VERSION,
                "uptimeSeconds": round(time.monotonic() - self.begun, 3),
                "process": process,
                "containerd": {"pid": pid, **process_usage(pid)} if pid else None,
                "components": components,
            }
        )


def _health(health: dict[str, object]) -> dict[str, object]:
    return {**health, "since": health["since"].isoformat()}  # type: ignore[attr-defined]


class KubeletAccess:
    """The kubelet server's door: asks the API server who a token is, and whether they may."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def decide(self, request: AccessRequest) -> Decision:
        """Who asks, and whether they may on nodes/<subresource>. Errors: Unauthorized."""
        user = User(request.user, groups=request.groups)
        if request.token:
            try:
                user, _ = self._api.authenticator.by_token(request.token, (ISSUER,))
            except InvalidToken as error:
                raise Unauthorized("Unauthorized") from error
        asked = Attributes(request.verb, resource="nodes", subresource=request.subresource, name=request.node)
        return Decision(self._api.authorizer.allows(user, asked), user.name)


def containerd_config(profile: Profile) -> ContainerdConfig:
    """Our own containerd's configuration. Errors: FileNotFoundError without CNI plugins."""
    plugins = plugin_folder()
    if plugins is None:
        raise FileNotFoundError("the CNI plugins are not installed")
    return ContainerdConfig(
        folder=profile.containerd,
        socket=profile.containerd_socket,
        log=profile.logs / "containerd.log",
        cni_plugins=plugins,
        sandbox_image=IMAGE,
        restrict_oom_score=lacks_resource_capability(),
        state_folder=profile.containerd_state,
    )


def registry_hosts(settings: Settings) -> dict[str, str]:
    """What containerd is told of mirrors and insecure registries, by host. Errors: registries.BadRegistry."""
    return registries.hosts_files(words(settings.registry_mirror), words(settings.insecure_registry))


def cni(profile: Profile) -> CniConfig:
    """The pods' network as containerd is told of it."""
    network, config = profile.claim_network(), containerd_config(profile)
    return CniConfig(config.cni_config, config.cni_data, profile.bridge, network.pod_cidr, network.gateway)


def _settle_memory() -> None:
    """Keep garbage collections short from now on."""
    Settled().begin()
    sys.setswitchinterval(0.001)  # the event loop waits five times less for threads that compute
