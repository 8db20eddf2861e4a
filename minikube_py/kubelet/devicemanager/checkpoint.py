"""The files in which allocations survive the kubelet: kubelet_internal_checkpoint and dra_manager_state.

Their layout is Kubernetes', so that what reads them finds what it looks for; the first one's checksum is our
own.
A file that is not whole is as good as none.
"""

import base64
import os
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson

from minikube_py.kubelet.devicemanager.claiminfo import ClaimInfo
from minikube_py.kubelet.devicemanager.poddevices import Given, Known, Pods, entries
from minikube_py.runtime.devices import ClaimRef, PreparedDevice, decode_allocation, encode_allocation

NO_TOPOLOGY = -1
"""The NUMA node of devices that are near to none."""
DRA = {"kind": "DRACheckpoint", "apiVersion": "checkpoint.dra.kubelet.k8s.io/v1"}


class Corrupt(Exception):
    """A checkpoint cannot be read."""


def devices_text(pods: Pods, state: Mapping[str, Known]) -> bytes:
    """kubelet_internal_checkpoint."""
    told = [
        {
            "PodUID": uid,
            "ContainerName": container,
            "ResourceName": resource,
            "DeviceIDs": _by_node(given.devices, state.get(resource, Known())),
            "AllocResp": base64.b64encode(encode_allocation(given.allocation)).decode(),
        }
        for uid, container, resource, given in entries(pods)
    ]
    registered = {name: sorted(resource.healthy) for name, resource in state.items()}
    data = {"PodDeviceEntries": told, "RegisteredDevices": registered}
    return orjson.dumps({"Data": data, "Checksum": zlib.crc32(orjson.dumps(data))})


def _by_node(ids: Collection[str], resource: Known) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id in sorted(ids):
        for node in resource.nodes.get(id) or (NO_TOPOLOGY,):
            found.setdefault(str(node), []).append(id)
    return found


def read_devices(text: bytes) -> tuple[Pods, set[str]]:
    """What containers were given, and the resources that had a plugin. Errors: Corrupt."""
    try:
        data = _checked(text)
        pods: Pods = {}
        for entry in data["PodDeviceEntries"] or ():
            ids = frozenset(id for of in entry["DeviceIDs"].values() for id in of)
            given = Given(ids, decode_allocation(base64.b64decode(entry["AllocResp"])))
            containers = pods.setdefault(entry["PodUID"], {})
            containers.setdefault(entry["ContainerName"], {})[entry["ResourceName"]] = given
        return pods, set(data["RegisteredDevices"] or ())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(str(error)) from error


def _checked(text: bytes) -> Any:
    whole = orjson.loads(text)
    data = whole["Data"]
    if zlib.crc32(orjson.dumps(data)) != whole["Checksum"]:
        raise Corrupt("checkpoint is corrupted")
    return data


def claims_text(claims: Collection[ClaimInfo]) -> bytes:
    """dra_manager_state."""
    told = [
        {
            "ClaimUID": info.ref.uid,
            "ClaimName": info.ref.name,
            "Namespace": info.ref.namespace,
            "PodUIDs": {uid: {} for uid in sorted(info.pods)},
            "DriverState": {
                driver: {"Devices": [_told(one) for one in devices]} for driver, devices in info.drivers.items()
            },
        }
        for info in claims
    ]
    data = orjson.dumps({**DRA, "ClaimInfoStateList": told}).decode()
    return orjson.dumps({"Data": data, "Checksum": zlib.crc32(data.encode())})


def _told(device: PreparedDevice) -> dict[str, Any]:
    return {
        "PoolName": device.pool,
        "DeviceName": device.device,
        "RequestNames": list(device.requests),
        "CDIDeviceIDs": list(device.cdi_devices),
    }


def read_claims(text: bytes) -> list[ClaimInfo]:
    """The claims that pods had. Whether all their drivers have prepared them is not known. Errors: Corrupt."""
    try:
        whole = orjson.loads(text)
        if zlib.crc32(whole["Data"].encode()) != whole["Checksum"]:
            raise Corrupt("checkpoint is corrupted")
        return [_claim(entry) for entry in orjson.loads(whole["Data"])["ClaimInfoStateList"] or ()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(str(error)) from error


def _claim(entry: Any) -> ClaimInfo:
    drivers = {
        driver: [
            PreparedDevice(
                one["PoolName"],
                one["DeviceName"],
                tuple(one["RequestNames"] or ()),
                tuple(one["CDIDeviceIDs"] or ()),
            )
            for one in state["Devices"] or ()
        ]
        for driver, state in (entry["DriverState"] or {}).items()
    }
    ref = ClaimRef(entry["Namespace"], entry["ClaimName"], entry["ClaimUID"])
    return ClaimInfo(ref, drivers, set(entry["PodUIDs"] or ()))


def write(file: Path, text: bytes) -> None:
    """Replace a checkpoint as a whole. Blocking. Errors: OSError."""
    fresh = file.with_name(f".{file.name}.new")
    with fresh.open("wb") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
    fresh.chmod(0o600)
    fresh.replace(file)
