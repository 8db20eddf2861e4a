"""Which features of a v1.34 kubelet this one has, of those that users ask about, at their stage in v1.34.

What is off by default in v1.34, or not done here (checkpoints), is told as off.
"""

from minikube_py.kubelet.stats.exposition import Metric

GENERAL, BETA, ALPHA = "", "BETA", "ALPHA"
FEATURES = {
    "ContainerCheckpoint": (BETA, False),
    "ContainerStopSignals": (ALPHA, False),
    "DynamicResourceAllocation": (GENERAL, True),
    "EventedPLEG": (ALPHA, False),
    "ImageMaximumGCAge": (BETA, True),
    "ImageVolume": (BETA, False),
    "InPlacePodVerticalScaling": (BETA, True),
    "KubeletFineGrainedAuthz": (BETA, True),
    "KubeletInUserNamespace": (ALPHA, False),
    "KubeletPSI": (BETA, True),
    "NodeLogQuery": (BETA, False),
    "PodAndContainerStatsFromCRI": (ALPHA, False),
    "PodLevelResources": (BETA, True),
    "PodLifecycleSleepAction": (GENERAL, True),
    "PodObservedGenerationTracking": (BETA, True),
    "PodReadyToStartContainersCondition": (BETA, True),
    "ProcMountType": (BETA, True),
    "RecursiveReadOnlyMounts": (GENERAL, True),
    "SidecarContainers": (GENERAL, True),
    "SupplementalGroupsPolicy": (BETA, True),
    "UserNamespacesSupport": (BETA, True),
}
"""Name > stage and whether it is on."""


def feature_metric() -> Metric:
    """The features as /metrics tells them."""
    help = "[BETA] This metric records the data about the stage and enablement of a k8s feature."
    samples = [({"name": name, "stage": stage}, float(on)) for name, (stage, on) in sorted(FEATURES.items())]
    return Metric("kubernetes_feature_enabled", "gauge", help, samples)
