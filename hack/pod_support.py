"""Write docs/pod-support.md: what becomes of every field of a v1.34 PodSpec, and of every type below it.

    python hack/pod_support.py

SUPPORT is where these facts live: a type, then its fields by who acts on them, or by why nobody does. A test
walks the schema and fails for a field that is not told, or told and not there, and where the document is not
what this makes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from minikube_py.meta.facts import definition

PATH = Path(__file__).parents[1] / "docs" / "pod-support.md"
ROOT = "io.k8s.api.core.v1.PodSpec"

KUBELET, SCHEDULER, SERVER, CONTROLLERS = "enforced", "scheduler", "API server", "controllers"
REFUSED, NOT_YET = "refused", "not yet"
STATES = {
    KUBELET: "the node agent does what the field says, in the container runtime, the kernel or the pod's "
    "status",
    SCHEDULER: "the scheduler does, before the pod has a node",
    SERVER: "the API server or its admission does, when the pod is created or changed",
    CONTROLLERS: "a controller does",
    REFUSED: "the pod is refused, or waits and says why; or the field is dropped, as v1.34 itself does",
    NOT_YET: "accepted, and so far without effect",
}

Fields = Mapping[str, str]
"""A state, with a note behind a colon where there is one > the names of the fields."""

GONE = "refused: FailedMount, no volume plugin matched; v1.34 has none for it either"
NO_PLUGIN = "refused: FailedMount, no volume plugin matched (use a CSI driver)"
ALPHA = "refused: dropped, its feature gate is alpha in v1.34"
OFF = "refused: dropped, its feature gate is off by default in v1.34"
WINDOWS = "refused: a pod of this node runs on Linux; with os.name linux the API server refuses the field"

_IN_TREE: Mapping[str, str] = {
    "AWSElasticBlockStoreVolumeSource": GONE,
    "AzureDiskVolumeSource": GONE,
    "AzureFileVolumeSource": GONE,
    "CephFSVolumeSource": GONE,
    "CinderVolumeSource": GONE,
    "FCVolumeSource": NO_PLUGIN,
    "FlexVolumeSource": NO_PLUGIN,
    "FlockerVolumeSource": GONE,
    "GCEPersistentDiskVolumeSource": GONE,
    "GitRepoVolumeSource": "refused: FailedMount; v1.34 has it off by default too",
    "GlusterfsVolumeSource": GONE,
    "ISCSIVolumeSource": NO_PLUGIN,
    "ImageVolumeSource": OFF,
    "NFSVolumeSource": "enforced: by mount.nfs, else FailedMount",
    "PhotonPersistentDiskVolumeSource": GONE,
    "PortworxVolumeSource": GONE,
    "QuobyteVolumeSource": GONE,
    "RBDVolumeSource": GONE,
    "ScaleIOVolumeSource": GONE,
    "StorageOSVolumeSource": GONE,
    "VsphereVirtualDiskVolumeSource": GONE,
    "WindowsSecurityContextOptions": WINDOWS,
}
"""Types whose fields all have one state."""

_CONTAINER: Fields = {
    KUBELET: "args command env envFrom image imagePullPolicy lifecycle livenessProbe name readinessProbe "
    "resources "
    "securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty "
    "volumeDevices "
    "volumeMounts workingDir",
    "enforced: published by the runtime's CNI portmap where they have a hostPort": "ports",
    "enforced: Always makes an init container a sidecar; of other containers the API "
    "server refuses it": "restartPolicy",
    "enforced: in-place resize": "resizePolicy",
    ALPHA: "restartPolicyRules",
}
_EPHEMERAL: Fields = {
    KUBELET: "args command env envFrom image imagePullPolicy name securityContext stdin stdinOnce "
    "targetContainerName "
    "terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir",
    "refused: the API server forbids it in ephemeral containers": "lifecycle livenessProbe ports "
    "readinessProbe "
    "resizePolicy resources restartPolicy startupProbe",
    ALPHA: "restartPolicyRules",
}

SUPPORT: Mapping[str, Fields] = {
    "PodSpec": {
        KUBELET: "activeDeadlineSeconds containers dnsConfig dnsPolicy enableServiceLinks ephemeralContainers "
        "hostAliases hostIPC hostNetwork hostPID hostname imagePullSecrets initContainers os overhead "
        "readinessGates "
        "resources restartPolicy securityContext serviceAccountName setHostnameAsFQDN shareProcessNamespace "
        "subdomain terminationGracePeriodSeconds volumes",
        "enforced: false needs containerd 2.x with user namespaces, "
        "else FailedCreatePodSandBox says so": "hostUsers",
        "enforced: the API server adds the class' overhead, the runtime refuses an "
        "unknown handler": "runtimeClassName",
        "scheduler: and by the node's admission for a pod that names its "
        "node": "affinity nodeSelector tolerations",
        SCHEDULER: "nodeName preemptionPolicy priority schedulerName schedulingGates topologySpreadConstraints",
        SERVER: "automountServiceAccountToken priorityClassName serviceAccount",
        "enforced: the scheduler allocates their devices, the node has their drivers prepare them, else "
        "FailedPrepareDynamicResources (docs/devices.md)": "resourceClaims",
        ALPHA: "hostnameOverride",
    },
    "Affinity": {
        SCHEDULER: "nodeAffinity podAffinity podAntiAffinity",
    },
    "NodeAffinity": {
        "scheduler: and by the node's admission": "requiredDuringSchedulingIgnoredDuringExecution",
        SCHEDULER: "preferredDuringSchedulingIgnoredDuringExecution",
    },
    "PreferredSchedulingTerm": {SCHEDULER: "preference weight"},
    "NodeSelectorTerm": {SCHEDULER: "matchExpressions matchFields"},
    "NodeSelectorRequirement": {SCHEDULER: "key operator values"},
    "NodeSelector": {SCHEDULER: "nodeSelectorTerms"},
    "PodAffinity": {
        SCHEDULER: "preferredDuringSchedulingIgnoredDuringExecution "
        "requiredDuringSchedulingIgnoredDuringExecution"
    },
    "PodAntiAffinity": {
        SCHEDULER: "preferredDuringSchedulingIgnoredDuringExecution "
        "requiredDuringSchedulingIgnoredDuringExecution"
    },
    "WeightedPodAffinityTerm": {SCHEDULER: "podAffinityTerm weight"},
    "PodAffinityTerm": {
        SCHEDULER: "labelSelector matchLabelKeys mismatchLabelKeys namespaceSelector namespaces topologyKey"
    },
    "TopologySpreadConstraint": {
        SCHEDULER: "labelSelector matchLabelKeys maxSkew minDomains nodeAffinityPolicy nodeTaintsPolicy "
        "topologyKey "
        "whenUnsatisfiable"
    },
    "LabelSelector": {"enforced: where the field that has it is": "matchExpressions matchLabels"},
    "LabelSelectorRequirement": {"enforced: where the field that has it is": "key operator values"},
    "Toleration": {
        SCHEDULER: "effect key operator value",
        "controllers: taint eviction": "tolerationSeconds",
    },
    "PodSchedulingGate": {SCHEDULER: "name"},
    "PodReadinessGate": {KUBELET: "conditionType"},
    "PodOS": {"enforced: another one than linux is PodOSNotSupported": "name"},
    "PodResourceClaim": {
        KUBELET: "name resourceClaimName",
        "controllers: a claim is made from it, then as any claim": "resourceClaimTemplateName",
    },
    "LocalObjectReference": {KUBELET: "name"},
    "PodDNSConfig": {KUBELET: "nameservers options searches"},
    "PodDNSConfigOption": {KUBELET: "name value"},
    "HostAlias": {KUBELET: "hostnames ip"},
    "Container": _CONTAINER,
    "EphemeralContainer": _EPHEMERAL,
    "EnvVar": {KUBELET: "name value valueFrom"},
    "EnvVarSource": {KUBELET: "configMapKeyRef fieldRef resourceFieldRef secretKeyRef", ALPHA: "fileKeyRef"},
    "ConfigMapKeySelector": {KUBELET: "key name optional"},
    "ObjectFieldSelector": {KUBELET: "fieldPath", "API server: v1 is the only one": "apiVersion"},
    "FileKeySelector": {ALPHA: "key optional path volumeName"},
    "ResourceFieldSelector": {KUBELET: "containerName divisor resource"},
    "SecretKeySelector": {KUBELET: "key name optional"},
    "EnvFromSource": {KUBELET: "configMapRef prefix secretRef"},
    "ConfigMapEnvSource": {KUBELET: "name optional"},
    "SecretEnvSource": {KUBELET: "name optional"},
    "Lifecycle": {KUBELET: "postStart preStop", ALPHA: "stopSignal"},
    "LifecycleHandler": {
        KUBELET: "exec httpGet sleep",
        "refused: FailedPostStartHook or FailedPreStopHook, as v1.34 does": "tcpSocket",
    },
    "ExecAction": {KUBELET: "command"},
    "HTTPGetAction": {KUBELET: "host httpHeaders path port scheme"},
    "HTTPHeader": {KUBELET: "name value"},
    "SleepAction": {KUBELET: "seconds"},
    "TCPSocketAction": {KUBELET: "host port"},
    "GRPCAction": {KUBELET: "port service"},
    "Probe": {
        KUBELET: "exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds successThreshold "
        "tcpSocket "
        "terminationGracePeriodSeconds timeoutSeconds"
    },
    "ContainerPort": {
        KUBELET: "containerPort hostIP hostPort protocol",
        "enforced: probes, hooks and Services find the port by it": "name",
    },
    "ContainerResizePolicy": {KUBELET: "resourceName restartPolicy"},
    "ResourceRequirements": {
        "enforced: cpu, memory, ephemeral-storage, huge pages; device plugins give extended resources, "
        "others are counted (docs/devices.md)": "limits requests",
        KUBELET: "claims",
    },
    "ResourceClaim": {KUBELET: "name request"},
    "ContainerRestartRule": {ALPHA: "action exitCodes"},
    "ContainerRestartRuleOnExitCodes": {ALPHA: "operator values"},
    "SecurityContext": {
        KUBELET: "allowPrivilegeEscalation capabilities privileged readOnlyRootFilesystem runAsGroup "
        "runAsNonRoot "
        "runAsUser seccompProfile",
        "enforced: where the kernel has AppArmor, else the pod is rejected (AppArmor)": "appArmorProfile",
        "enforced: Unmasked needs hostUsers false": "procMount",
        "enforced: handed to the runtime, for kernels with SELinux": "seLinuxOptions",
        WINDOWS: "windowsOptions",
    },
    "PodSecurityContext": {
        KUBELET: "fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seccompProfile "
        "supplementalGroups",
        "enforced: where the kernel has AppArmor, else the pod is rejected (AppArmor)": "appArmorProfile",
        "enforced: handed to the runtime, for kernels with SELinux": "seLinuxOptions",
        "enforced: containerd gives no SELinux labels here, so no volume needs another": "seLinuxChangePolicy",
        "enforced: Strict needs containerd 2.x, else "
        "SupplementalGroupsPolicyNotSupported": "supplementalGroupsPolicy",
        "enforced: safe ones and those of allowed_unsafe_sysctls, else SysctlForbidden": "sysctls",
        WINDOWS: "windowsOptions",
    },
    "AppArmorProfile": {KUBELET: "localhostProfile type"},
    "Capabilities": {KUBELET: "add drop"},
    "SELinuxOptions": {"enforced: handed to the runtime, for kernels with SELinux": "level role type user"},
    "SeccompProfile": {
        KUBELET: "type",
        "enforced: a file below kubelet/seccomp of the profile": "localhostProfile",
    },
    "Sysctl": {KUBELET: "name value"},
    "VolumeDevice": {KUBELET: "devicePath name"},
    "VolumeMount": {
        KUBELET: "mountPath mountPropagation name readOnly subPath subPathExpr",
        "enforced: Enabled needs a runtime that tells that it can, else "
        "CreateContainerConfigError": "recursiveReadOnly",
    },
    "Volume": {
        KUBELET: "configMap csi downwardAPI emptyDir ephemeral hostPath name persistentVolumeClaim "
        "projected secret",
        GONE: "awsElasticBlockStore azureDisk azureFile cephfs cinder flocker gcePersistentDisk glusterfs "
        "photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume",
        NO_PLUGIN: "fc flexVolume iscsi",
        "enforced: by mount.nfs, else FailedMount": "nfs",
        "refused: FailedMount; v1.34 has it off by default too": "gitRepo",
        "refused: dropped with its mounts, its feature gate is off by default in v1.34": "image",
    },
    "ConfigMapVolumeSource": {KUBELET: "defaultMode items name optional"},
    "KeyToPath": {KUBELET: "key mode path"},
    "CSIVolumeSource": {KUBELET: "driver fsType nodePublishSecretRef readOnly volumeAttributes"},
    "DownwardAPIVolumeSource": {KUBELET: "defaultMode items"},
    "DownwardAPIVolumeFile": {KUBELET: "fieldRef mode path resourceFieldRef"},
    "EmptyDirVolumeSource": {
        KUBELET: "medium",
        "enforced: in memory by the mount, on disk by eviction": "sizeLimit",
    },
    "EphemeralVolumeSource": {"controllers: a claim is made, then as any claim": "volumeClaimTemplate"},
    "PersistentVolumeClaimTemplate": {CONTROLLERS: "metadata spec"},
    "ObjectMeta": {
        "controllers: of the claim that is made": "annotations labels",
        "refused: the API server takes labels and annotations alone": "creationTimestamp "
        "deletionGracePeriodSeconds "
        "deletionTimestamp finalizers generateName generation managedFields name namespace ownerReferences "
        "resourceVersion selfLink uid",
    },
    "ManagedFieldsEntry": {
        "refused: not of a claim template": "apiVersion fieldsType fieldsV1 manager operation subresource time"
    },
    "OwnerReference": {
        "refused: not of a claim template": "apiVersion blockOwnerDeletion controller kind name uid"
    },
    "PersistentVolumeClaimSpec": {
        "controllers: binding and provisioning": "accessModes dataSource dataSourceRef resources selector "
        "storageClassName volumeAttributesClassName volumeMode volumeName"
    },
    "TypedLocalObjectReference": {"controllers: of the CSI provisioner": "apiGroup kind name"},
    "TypedObjectReference": {"controllers: of the CSI provisioner": "apiGroup kind name namespace"},
    "VolumeResourceRequirements": {CONTROLLERS: "limits requests"},
    "HostPathVolumeSource": {KUBELET: "path type"},
    "PersistentVolumeClaimVolumeSource": {KUBELET: "claimName readOnly"},
    "ProjectedVolumeSource": {KUBELET: "defaultMode sources"},
    "VolumeProjection": {
        KUBELET: "configMap downwardAPI secret serviceAccountToken",
        OFF: "clusterTrustBundle",
        ALPHA: "podCertificate",
    },
    "ClusterTrustBundleProjection": {OFF: "labelSelector name optional path signerName"},
    "ConfigMapProjection": {KUBELET: "items name optional"},
    "DownwardAPIProjection": {KUBELET: "items"},
    "PodCertificateProjection": {
        ALPHA: "certificateChainPath credentialBundlePath keyPath keyType maxExpirationSeconds signerName"
    },
    "SecretProjection": {KUBELET: "items name optional"},
    "ServiceAccountTokenProjection": {KUBELET: "audience expirationSeconds path"},
    "SecretVolumeSource": {KUBELET: "defaultMode items optional secretName"},
}

_HEAD = """# What becomes of a pod's fields

Every field of a v1.34 PodSpec and of the types below it, by who acts on it. `python hack/pod_support.py` makes
this page from the list in that file; a test compares the list with the schema, so that no field is forgotten.

| State | What it means |
|---|---|
{states}
Some things are not fields. CPU managers that pin containers to cores (the policy is `none`), memory QoS (alpha
in v1.34) and swap for containers (`NoSwap`) are as a kubelet without further configuration has them. cgroups
are made directly (the cgroupfs driver), below a root of the profile's own, on cgroup v1 and v2.
"""


def definitions() -> Iterator[str]:
    """The definitions that a PodSpec is made of, in the order in which they are met."""
    seen, waiting = {ROOT}, [ROOT]
    while waiting:
        name = waiting.pop(0)
        yield name
        for reference in references(name):
            if reference not in seen and definition(reference).get("properties"):
                seen.add(reference)
                waiting.append(reference)


def references(name: str) -> Iterator[str]:
    """The definitions that the fields of a definition are of."""
    for schema in definition(name)["properties"].values():
        more = schema.get("additionalProperties")
        inner = schema.get("items") or (more if isinstance(more, dict) else None) or schema
        if reference := inner.get("$ref"):
            yield reference.rpartition("/")[2]


def schema_fields() -> dict[str, set[str]]:
    """The fields of each type as the schema has them; the types by their short names (PodSpec)."""
    return {name.rpartition(".")[2]: set(definition(name)["properties"]) for name in definitions()}


def told() -> dict[str, dict[str, tuple[str, str]]]:
    """(state, note) of each field of each type. Errors: ValueError for an unknown state or a field told "
    "twice."""
    schema = schema_fields()
    lists = dict(SUPPORT) | {name: {state: " ".join(sorted(schema[name]))} for name, state in _IN_TREE.items()}
    result: dict[str, dict[str, tuple[str, str]]] = {}
    for name, fields in lists.items():
        rows = result[name] = {}
        for key, names in fields.items():
            state, _, note = key.partition(": ")
            if state not in STATES:
                raise ValueError(f"{name}: there is no state {state}")
            for field in names.split():
                if field in rows:
                    raise ValueError(f"{name}.{field} is told twice")
                rows[field] = (state, note)
    return result


def render() -> str:
    """The document."""
    states = "".join(f"| {state} | {meaning} |\n" for state, meaning in STATES.items())
    parts = [_HEAD.format(states=states)]
    rows = told()
    for name in schema_fields():
        parts.append(f"\n## {name}\n\n| Field | State | Note |\n|---|---|---|\n")
        for field, (state, note) in sorted(rows[name].items()):
            parts.append(f"| `{field}` | {state} | {note or '-'} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(render())
    print(f"wrote {PATH}")
