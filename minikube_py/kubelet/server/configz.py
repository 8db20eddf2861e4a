"""What /configz shows: the kubelet's configuration in the names of KubeletConfiguration. Pure."""

from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.memory import go_duration
from minikube_py.kubelet.node.node_status import MAX_IMAGES
from minikube_py.kubelet.server.reviews import ALLOWED_SECONDS, DENIED_SECONDS, TOKEN_SECONDS
from minikube_py.meta.objects import Obj


def configuration(config: KubeletConfig) -> Obj:
    """The document at /configz."""
    eviction, images = config.eviction, config.image_gc
    found: Obj = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "enableServer": config.server is not None,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True, "cacheTTL": go_duration(TOKEN_SECONDS)},
            "x509": {},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {
                "cacheAuthorizedTTL": go_duration(ALLOWED_SECONDS),
                "cacheUnauthorizedTTL": go_duration(DENIED_SECONDS),
            },
        },
        "registerNode": True,
        "enableDebuggingHandlers": True,
        "enableProfilingHandler": False,
        "enableDebugFlagsHandler": False,
        "enableSystemLogHandler": config.system_logs is not None,
        "enableSystemLogQuery": False,
        "healthzPort": 0,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": list(config.cluster_dns),
        "streamingConnectionIdleTimeout": go_duration(config.stream_idle_timeout),
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": go_duration(config.status_interval),
        "nodeLeaseDurationSeconds": config.lease_duration,
        "nodeStatusMaxImages": MAX_IMAGES,
        "imageMinimumGCAge": go_duration(images.minimum_age),
        "imageMaximumGCAge": go_duration(images.maximum_age),
        "imageGCHighThresholdPercent": images.high,
        "imageGCLowThresholdPercent": images.low,
        "cgroupRoot": config.cgroup_root or "/",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": bool(config.cgroup_root),
        "cpuManagerPolicy": "none",
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "none",
        "topologyManagerScope": "container",
        "cpuCFSQuota": True,
        "cpuCFSQuotaPeriod": "100ms",
        "enforceNodeAllocatable": ["pods"] if config.cgroup_root else ["none"],
        "seccompDefault": False,
        "localStorageCapacityIsolation": True,
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "failSwapOn": False,
        "memorySwap": {},
        "maxPods": config.max_pods,
        "podPidsLimit": config.pod_pids_limit or -1,
        "resolvConf": str(config.resolv_conf),
        "serializeImagePulls": config.parallel_pulls == 1,
        "maxParallelImagePulls": config.parallel_pulls,
        "evictionHard": dict(eviction.hard),
        "evictionPressureTransitionPeriod": go_duration(eviction.transition),
        "evictionMaxPodGracePeriod": eviction.max_pod_grace,
        "containerLogMaxSize": f"{config.log_max_size >> 20}Mi",
        "containerLogMaxFiles": config.log_max_files,
        "containerLogMonitorInterval": go_duration(config.log_check_interval),
        "systemReserved": dict(config.system_reserved),
        "kubeReserved": dict(config.kube_reserved),
        "allowedUnsafeSysctls": list(config.allowed_unsafe_sysctls),
    }
    if config.server is not None:
        server = config.server
        found |= {"port": server.port, "address": server.addresses[0]}
        found |= {"tlsCertFile": str(server.certificate), "tlsPrivateKeyFile": str(server.key)}
        found["authentication"]["x509"] = {"clientCAFile": str(server.client_ca)}
    if config.static_pod_path is not None:
        found["staticPodPath"] = str(config.static_pod_path)
    if eviction.soft:
        found["evictionSoft"] = dict(eviction.soft)
        found["evictionSoftGracePeriod"] = {s: go_duration(grace) for s, grace in eviction.soft_grace.items()}
    if eviction.minimum_reclaim:
        found["evictionMinimumReclaim"] = dict(eviction.minimum_reclaim)
    return {"kubeletconfig": found}
