"""What people do with volumes, claims, quotas, stateful sets, cron jobs and storage classes, by kubectl."""

import shutil

import pytest
from api_cluster import Client, Kubectl

from minikube_py.aio.process import CommandFailed

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

POD = '{containers: [{name: web, image: "web:1"}], terminationGracePeriodSeconds: 0}'
OBJECTS = f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteOnce]
  hostPath: {{path: /data}}
  storageClassName: fast
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: fast, resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: ReplicationController
metadata: {{name: old}}
spec: {{replicas: 2, template: {{metadata: {{labels: {{app: old}}}}, spec: {POD}}}}}
---
apiVersion: v1
kind: PodTemplate
metadata: {{name: plan}}
template: {{metadata: {{labels: {{app: plan}}}}, spec: {POD}}}
---
apiVersion: v1
kind: LimitRange
metadata: {{name: sizes}}
spec: {{limits: [{{type: Pod, max: {{cpu: "2"}}}}]}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: share}}
spec: {{hard: {{pods: "20"}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template: {{metadata: {{labels: {{app: db}}}}, spec: {POD}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly}}
spec:
  schedule: "0 3 * * *"
  timeZone: Etc/UTC
  jobTemplate:
    spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: "a:1"}}]}}}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: fast}}
provisioner: example.com/disk
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {{name: gold}}
driverName: example.com
parameters: {{iops: "100"}}
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {{name: example.com}}
spec: {{attachRequired: false}}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {{name: node-1}}
spec: {{drivers: [{{name: example.com, nodeID: n1}}]}}
---
apiVersion: storage.k8s.io/v1
kind: CSIStorageCapacity
metadata: {{name: room}}
storageClassName: fast
capacity: 1Gi
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {{name: here}}
spec: {{attacher: example.com, nodeName: node-1, source: {{persistentVolumeName: disk}}}}
"""
HEADERS = {
    "pv": "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON "
    "AGE VOLUMEMODE",
    "pvc": "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
    "rc": "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
    "podtemplates": "NAME CONTAINERS IMAGES POD LABELS",
    "limits": "NAME CREATED AT",
    "quota": "NAME REQUEST LIMIT AGE",
    "sts": "NAME READY AGE CONTAINERS IMAGES",
    "cj": "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
    "sc": "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
    "vac": "NAME DRIVERNAME AGE",
    "csidrivers": "NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH "
    "MODES AGE",
    "csinodes": "NAME DRIVERS AGE",
    "csistoragecapacities": "NAME STORAGECLASSNAME CAPACITY",
    "volumeattachments": "NAME ATTACHER PV NODE ATTACHED AGE",
}
CHANGES = (
    (
        "pv/disk",
        '{"spec":{"hostPath":{"path":"/other"}}}',
        "spec.persistentvolumesource is immutable after creation",
    ),
    (
        "pvc/data",
        '{"spec":{"volumeMode":"Block"}}',
        "spec is immutable after creation except resources.requests",
    ),
    ("sts/db", '{"spec":{"serviceName":"x"}}', "updates to statefulset spec for fields other than 'replicas'"),
    ("sc/fast", '{"provisioner":"x"}', "updates to provisioner are forbidden."),
    ("volumeattachments/here", '{"spec":{"nodeName":"x"}}', "field is immutable"),
    ("cj/nightly", '{"spec":{"schedule":"never"}}', "expected exactly 5 fields, found 1: [never]"),
    ("quota/share", '{"spec":{"scopes":["BestEffort"]}}', "field is immutable"),
)


async def test_the_life_of_each_kind(kubectl: Kubectl) -> None:
    """Each is created, shown with its columns, keeps what is fixed, is scaled where it scales, and goes."""
    said = (await kubectl("apply", "-f", "-", input=OBJECTS)).stdout.split("\n")
    assert [line.rpartition(" ")[2] for line in said[:-1]] == ["created"] * len(HEADERS)
    again = (await kubectl("apply", "-f", "-", input=OBJECTS)).stdout.split("\n")
    assert [line.rpartition(" ")[2] for line in again[:-1]] == ["unchanged"] * len(HEADERS)
    shown = {}
    for name in HEADERS:
        wide = (await kubectl("get", name, "-o", "wide")).stdout
        shown[name] = " ".join(wide.split("\n")[0].split())
    assert shown == HEADERS
    for target, patch, told in CHANGES:
        with pytest.raises(CommandFailed) as refused:
            await kubectl("patch", target, "--type=merge", "-p", patch)
        assert told in str(refused.value)
    for target in ("rc/old", "sts/db"):
        await kubectl("scale", target, "--replicas=5")
        replicas = await kubectl("get", target, "-o", "jsonpath={.spec.replicas}")
        assert (target, replicas.stdout) == (target, "5")
    gone = (await kubectl("delete", "--wait=false", "-f", "-", input=OBJECTS)).stdout.split("\n")
    assert [line.rpartition(" ")[2] for line in gone[:-1]] == ["deleted"] * len(HEADERS)


async def test_the_scale_of_a_replication_controller(admin: Client) -> None:
    """Its selector is a map of labels; Scale tells it as text, in the version that autoscalers read."""
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    path = "/api/v1/namespaces/default/replicationcontrollers"
    await admin.post(path, {"metadata": {"name": "a"}, "spec": {"replicas": 2, "template": template}})
    scale = await admin.get(f"{path}/a/scale")
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 2})
    assert scale["status"] == {"replicas": 0, "selector": "app=a"}
    found = await admin.get(f"{path}?fieldSelector=status.replicas=0")
    assert [one["metadata"]["name"] for one in found["items"]] == ["a"]


async def test_component_statuses(kubectl: Kubectl, admin: Client) -> None:
    """The components tell that they are well; who asks is told that this is the old way."""
    shown = await kubectl("get", "cs")
    assert shown.stderr.strip() == "Warning: v1 ComponentStatus is deprecated in v1.19+"
    assert [line.split() for line in shown.stdout.split("\n")[:-1]] == [
        ["NAME", "STATUS", "MESSAGE", "ERROR"],
        ["scheduler", "Healthy", "ok"],
        ["controller-manager", "Healthy", "ok"],
        ["etcd-0", "Healthy", "ok"],
    ]
    one = await admin.get("/api/v1/componentstatuses/scheduler")
    assert one["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    missing = await admin.get("/api/v1/componentstatuses/none")
    assert (missing.code, missing["reason"]) == (404, "NotFound")
    made = await admin.post("/api/v1/componentstatuses", {"metadata": {"name": "x"}})
    assert (made.code, made["reason"]) == (405, "MethodNotAllowed")


async def test_a_pod_is_resized_in_place(kubectl: Kubectl, admin: Client) -> None:
    """Resources change by the subresource alone, as one generation; the QoS class stays."""
    path = "/api/v1/namespaces/default/pods/web"
    resources = {"requests": {"cpu": "100m"}}
    spec = {"containers": [{"name": "web", "image": "web:1", "resources": resources}]}
    await admin.post(path.rpartition("/")[0], {"metadata": {"name": "web"}, "spec": spec})
    patch = '{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"200m"}}}]}}'
    with pytest.raises(CommandFailed, match="pod updates may not change fields other than"):
        await kubectl("patch", "pod", "web", "-p", patch)
    await kubectl("patch", "pod", "web", "--subresource=resize", "-p", patch)
    stored = await admin.get(path)
    assert stored["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "200m"}}
    assert stored["metadata"]["generation"] == 2
    grown = (
        '{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"1","memory":"1Gi"},'
        '"limits":{"cpu":"1","memory":"1Gi"}}}]}}'
    )
    with pytest.raises(CommandFailed, match="Pod QOS Class may not change as a result of resizing"):
        await kubectl("patch", "pod", "web", "--subresource=resize", "-p", grown)
