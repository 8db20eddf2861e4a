"""Volumes, claims and the kinds of storage.k8s.io: defaults, refusals, what may change, columns."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.core.persistentvolume import PersistentVolume
from minikube_py.kinds.core.persistentvolumeclaim import PersistentVolumeClaim
from minikube_py.kinds.storage.csidriver import CSIDriver
from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.kinds.storage.csistoragecapacity import CSIStorageCapacity
from minikube_py.kinds.storage.storageclass import StorageClass
from minikube_py.kinds.storage.volumeattachment import VolumeAttachment
from minikube_py.kinds.storage.volumeattributesclass import VolumeAttributesClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy

MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
FIXED = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def volume(**spec: Any) -> Obj:
    return {
        "metadata": meta("disk"),
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/data"},
            **spec,
        },
    }


def claim(**spec: Any) -> Obj:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": meta("data"), "spec": {**asked, **spec}}


def first_lines(found: list[str]) -> list[str]:
    """Refusals without the difference that follows some."""
    return [one.partition("\n")[0] for one in found]


def test_volume_defaults() -> None:
    """A volume is kept, of files, its path unchecked, and waits for a claim."""
    stored = created(PersistentVolume, volume())
    assert stored["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert stored["spec"]["volumeMode"] == "Filesystem"
    assert stored["spec"]["hostPath"] == {"path": "/data", "type": ""}
    assert stored["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value"]),
        (
            {"accessModes": ["Sometimes"]},
            [f'spec.accessModes: Unsupported value: "Sometimes": supported values: {MODES}'],
        ),
        (
            {"capacity": {}},
            [
                "spec.capacity: Required value",
                'spec.capacity: Unsupported value: {}: supported values: "storage"',
            ],
        ),
        (
            {"capacity": {"storage": "0"}},
            ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
        ),
        ({"hostPath": None}, ["spec: Required value: must specify a volume type"]),
        (
            {"hostPath": {"path": "/a/../b"}},
            ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
        ),
        (
            {"nfs": {"server": "a", "path": "/x"}},
            ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"persistentVolumeReclaimPolicy": "Burn"},
            [
                'spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": '
                'supported values: "Delete", "Recycle", "Retain"'
            ],
        ),
        (
            {"hostPath": None, "local": {"path": "/mnt"}},
            ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
    ],
)
def test_volume_refusals(spec: Obj, expected: list[str]) -> None:
    """A volume says its size, its access modes and one source."""
    assert refusals(PersistentVolume, volume(**spec)) == expected


def test_the_source_of_a_volume_stays() -> None:
    """The size of a volume may change, its source and mode may not."""
    old = created(PersistentVolume, volume())
    grown = copy(old)
    grown["spec"]["capacity"] = {"storage": "2Gi"}
    moved = copy(old)
    moved["spec"]["hostPath"] = {"path": "/other"}
    blocks = copy(old)
    blocks["spec"]["volumeMode"] = "Block"
    assert refusals(PersistentVolume, grown, old) == []
    assert first_lines(refusals(PersistentVolume, moved, old))[0].endswith(
        "spec.persistentvolumesource is immutable after creation"
    )
    assert refusals(PersistentVolume, blocks, old) == ['volumeMode: Invalid value: "Block": field is immutable']


def test_volume_columns() -> None:
    """Capacity, short access modes, policy, phase, claim and class."""
    bound = volume(claimRef={"namespace": "default", "name": "data"}, storageClassName="fast")
    cells = row(PersistentVolume, created(PersistentVolume, bound))
    assert list(cells) == [
        "Name",
        "Capacity",
        "Access Modes",
        "Reclaim Policy",
        "Status",
        "Claim",
        "StorageClass",
        "VolumeAttributesClass",
        "Reason",
        "Age",
        "VolumeMode",
    ]
    assert (cells["Capacity"], cells["Access Modes"], cells["Claim"]) == ("1Gi", "RWO", "default/data")
    assert (cells["StorageClass"], cells["VolumeAttributesClass"]) == ("fast", "<unset>")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
        (
            {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]},
            ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        ({"resources": {}}, ["spec.resources[storage]: Required value"]),
        (
            {"resources": {"requests": {"storage": "-1"}}},
            ['spec.resources[storage]: Invalid value: "-1": must be greater than zero'],
        ),
        (
            {"volumeMode": "Tape"},
            ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
        ),
    ],
)
def test_claim_refusals(spec: Obj, expected: list[str]) -> None:
    """A claim says how it is used and how much it wants."""
    assert refusals(PersistentVolumeClaim, claim(**spec)) == expected


def test_a_claim_changes_only_its_request_and_only_when_bound() -> None:
    """Growth of a bound claim goes; every other change of the spec, and shrinking, does not."""
    old = updated(PersistentVolumeClaim, claim(volumeName="pv-1"), created(PersistentVolumeClaim, claim()))
    old["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    grown, less, moved = copy(old), copy(old), copy(old)
    grown["spec"]["resources"] = {"requests": {"storage": "2Gi"}}
    less["spec"]["resources"] = {"requests": {"storage": "500Mi"}}
    moved["spec"]["volumeName"] = "pv-2"
    pending = {**old, "status": {"phase": "Pending"}}
    assert refusals(PersistentVolumeClaim, grown, old) == []
    assert refusals(PersistentVolumeClaim, less, old) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]
    assert first_lines(refusals(PersistentVolumeClaim, moved, old)) == [f"spec: Forbidden: {FIXED}"]
    assert first_lines(refusals(PersistentVolumeClaim, grown, pending)) == [f"spec: Forbidden: {FIXED}"]


def test_claim_columns() -> None:
    """A claim in use shows what it got; one that goes is Terminating."""
    stored = created(PersistentVolumeClaim, claim(storageClassName="fast"))
    assert (stored["status"]["phase"], stored["spec"]["volumeMode"]) == ("Pending", "Filesystem")
    stored["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    stored["spec"]["volumeName"] = "pv-1"
    cells = row(PersistentVolumeClaim, stored)
    shown = {key: cells[key] for key in ("Status", "Volume", "Capacity", "Access Modes", "StorageClass")}
    assert list(shown.values()) == ["Bound", "pv-1", "1Gi", "RWO", "fast"]
    leaving = {**stored, "metadata": meta("data", deletionTimestamp="2026-01-01T12:00:00Z")}
    assert row(PersistentVolumeClaim, leaving)["Status"] == "Terminating"


def test_storage_class() -> None:
    """A class deletes and binds at once by default; what it is made of stays."""
    stored = created(StorageClass, {"metadata": meta("fast"), "provisioner": "example.com/disk"})
    assert (stored["reclaimPolicy"], stored["volumeBindingMode"]) == ("Delete", "Immediate")
    cells = row(StorageClass, stored)
    assert list(cells.values())[:5] == ["fast", "example.com/disk", "Delete", "Immediate", False]
    marked = {
        **stored,
        "metadata": meta("fast", annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
    }
    assert row(StorageClass, marked)["Name"] == "fast (default)"
    changed = {**stored, "provisioner": "other", "parameters": {"a": "b"}, "reclaimPolicy": "Retain"}
    assert first_lines(refusals(StorageClass, changed, stored)) == [
        "parameters: Forbidden: updates to parameters are forbidden.",
        "provisioner: Forbidden: updates to provisioner are forbidden.",
        "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
    ]
    assert refusals(StorageClass, {**stored, "allowVolumeExpansion": True}, stored) == []
    late = {**stored, "volumeBindingMode": "WaitForFirstConsumer"}
    assert refusals(StorageClass, late, stored) == [
        'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable'
    ]


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (StorageClass, {}, ["provisioner: Required value"]),
        (
            StorageClass,
            {"provisioner": "a", "volumeBindingMode": "Never"},
            [
                'volumeBindingMode: Unsupported value: "Never": '
                'supported values: "Immediate", "WaitForFirstConsumer"'
            ],
        ),
        (
            VolumeAttributesClass,
            {},
            [
                "driverName: Required value",
                "parameters: Required value: must contain at least one key/value pair",
            ],
        ),
        (VolumeAttributesClass, {"driverName": "a.b", "parameters": {"iops": "5"}}, []),
        (CSIDriver, {"spec": {"volumeLifecycleModes": ["Persistent"]}}, []),
        (
            CSIDriver,
            {"spec": {"volumeLifecycleModes": ["Long"]}},
            [
                'spec.volumeLifecycleModes: Unsupported value: "Long": '
                'supported values: "Persistent", "Ephemeral"'
            ],
        ),
        (
            CSINode,
            {"spec": {"drivers": [{"name": "a.b", "nodeID": "", "topologyKeys": []}]}},
            ["spec.drivers[0].nodeID: Required value"],
        ),
        (
            CSIStorageCapacity,
            {"storageClassName": "fast", "capacity": "-1"},
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            VolumeAttachment,
            {"spec": {"attacher": "a.b", "nodeName": "n", "source": {}}},
            [
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec "
                "and persistentVolumeName"
            ],
        ),
    ],
)
def test_storage_refusals(kind: Kind, obj: Obj, expected: list[str]) -> None:
    """What each kind of storage.k8s.io asks for."""
    assert refusals(kind, {"metadata": meta("one"), **obj}) == expected


def test_csi_driver_defaults_and_columns() -> None:
    """A driver attaches, keeps no capacity and lives as long as its volumes; kubectl shows it all."""
    stored = created(CSIDriver, {"metadata": meta("csi.example.com"), "spec": {}})
    assert stored["spec"] == {
        "attachRequired": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
        "storageCapacity": False,
        "volumeLifecycleModes": ["Persistent"],
    }
    assert list(row(CSIDriver, stored).values())[:-1] == [
        "csi.example.com", True, False, False, "<unset>", False, "Persistent",
    ]  # fmt: skip


def test_what_an_attachment_attaches_stays() -> None:
    """The spec of a VolumeAttachment is fixed; its columns: attacher, volume, node, whether it is there."""
    spec = {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}
    stored = created(VolumeAttachment, {"metadata": meta("one"), "spec": spec})
    moved = {**stored, "spec": {**spec, "nodeName": "other"}}
    assert refusals(VolumeAttachment, stored, stored) == []
    assert [one.rpartition(": ")[2] for one in refusals(VolumeAttachment, moved, stored)] == [
        "field is immutable"
    ]
    assert list(row(VolumeAttachment, stored).values())[:5] == ["one", "a.b", "pv", "n", False]
