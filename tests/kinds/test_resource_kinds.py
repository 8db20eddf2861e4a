"""The kinds of resource.k8s.io: defaults, refusals, what may change, columns."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.resource.deviceclass import DeviceClass
from minikube_py.kinds.resource.resourceclaim import ResourceClaim
from minikube_py.kinds.resource.resourceclaimtemplate import ResourceClaimTemplate
from minikube_py.kinds.resource.resourceslice import ResourceSlice
from minikube_py.meta.objects import Obj, copy

ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


def claim(*requests: Obj, **devices: Any) -> Obj:
    return {"metadata": meta("gpu"), "spec": {"devices": {"requests": list(requests), **devices}}}


def request(name: str = "a", **exactly: Any) -> Obj:
    return {"name": name, "exactly": {"deviceClassName": "gpu.example.com", **exactly}}


def test_claim_defaults() -> None:
    """A request is for one device, of each alternative too; fields of features that are off are dropped."""
    either = {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c", "allocationMode": "All"}]}
    stored = created(ResourceClaim, claim(request(tolerations=[{"key": "k"}]), either))
    first, second = stored["spec"]["devices"]["requests"]
    assert first["exactly"] == {
        "deviceClassName": "gpu.example.com",
        "allocationMode": "ExactCount",
        "count": 1,
    }
    assert second["firstAvailable"] == [{"name": "x", "deviceClassName": "c", "allocationMode": "All"}]
    template = {"metadata": meta("t"), "spec": {"spec": claim(request())["spec"]}}
    made = created(ResourceClaimTemplate, template)
    assert made["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 1


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (claim(request()), []),
        (claim({"name": "a"}), [f"spec.devices.requests[0]: Required value: {ONE_OF}"]),
        (
            claim(request(), request()),
            ['spec.devices.requests[1].name: Duplicate value: "a"'],
        ),
        (
            claim(request(deviceClassName="")),
            ["spec.devices.requests[0].exactly.deviceClassName: Required value"],
        ),
        (
            claim(request(count=-1)),
            ["spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"],
        ),
        (
            claim(request(allocationMode="Some")),
            [
                'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: '
                '"All", "ExactCount"'
            ],
        ),
        (
            claim(request(), constraints=[{"requests": ["b"], "matchAttribute": "example.com/numa"}]),
            [
                'spec.devices.constraints[0].requests[0]: Invalid value: "b": must be the name of a request in '
                "the claim or the name of a request and a subrequest separated by '/'"
            ],
        ),
        (
            claim(request(), constraints=[{"matchAttribute": "numa"}]),
            ['spec.devices.constraints[0].matchAttribute: Invalid value: "numa": must include a domain'],
        ),
        (claim(request(), config=[{}]), ["spec.devices.config[0].opaque: Required value"]),
        (
            claim(request(selectors=[{"cel": {"expression": "1"}}])),
            [
                "spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: "
                '"1": must evaluate to bool'
            ],
        ),
        (
            claim(
                request(selectors=[{"cel": {"expression": "device.driver == 'a' && device.attributes['a'].b"}}])
            ),
            [],
        ),
    ],
)
def test_claim_refusals(obj: Obj, expected: list[str]) -> None:
    """A claim's requests are told apart, of a class each, and what is said of them is of existing ones."""
    assert refusals(ResourceClaim, obj) == expected


ALLOCATION = {
    "devices": {"results": [{"request": "a", "driver": "d.example.com", "pool": "p", "device": "d0"}]}
}
CONSUMER = {"resource": "pods", "name": "p", "uid": "1"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"allocation": ALLOCATION, "reservedFor": [CONSUMER]}, []),
        (
            {},
            {"reservedFor": [CONSUMER]},
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        ({"allocation": ALLOCATION}, {}, []),
        (
            {"allocation": ALLOCATION},
            {"allocation": ALLOCATION, "reservedFor": [{"name": "p", "uid": "1"}]},
            ["status.reservedFor[0].resource: Required value"],
        ),
        (
            {"allocation": ALLOCATION},
            {"allocation": ALLOCATION, "devices": [{"driver": "d", "pool": "p", "device": "x"}]},
            ['status.devices[0]: Invalid value: "d/p/x": must be an allocated device in the claim'],
        ),
    ],
)
def test_claim_status(before: Obj, after: Obj, expected: list[str]) -> None:
    """Only what is allocated is reserved, and drivers tell of allocated devices."""
    old, new = {**claim(request()), "status": before}, {**claim(request()), "status": after}
    found = ResourceClaim.validate_status(new, old)
    assert [f"{one.field}: {one.message}" for one in found] == expected


def test_immutable_specs() -> None:
    """The spec of a claim and of a template stays as it is."""
    for kind, obj in (
        (ResourceClaim, created(ResourceClaim, claim(request()))),
        (
            ResourceClaimTemplate,
            created(ResourceClaimTemplate, {"metadata": meta("t"), "spec": {"spec": claim(request())["spec"]}}),
        ),
    ):
        new = copy(obj)
        new["spec"]["metadata" if kind is ResourceClaimTemplate else "devices"] = {}
        assert [one.partition(":")[0] for one in refusals(kind, new, obj)] == ["spec"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"allNodes": True}, []),
        ({}, [f"spec: Required value: {ONE_PLACE}"]),
        (
            {"allNodes": True, "nodeName": "n"},
            [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_PLACE}, but multiple fields are set'],
        ),
        (
            {"allNodes": True, "devices": [{"name": "a", "attributes": {"x": {}}}]},
            ["spec.devices[0].attributes[x]: Required value: exactly one value must be specified"],
        ),
        (
            {"allNodes": True, "pool": {"name": "p", "generation": 1}},
            ["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"],
        ),
    ],
)
def test_slice_refusals(spec: Obj, expected: list[str]) -> None:
    """A slice says of which nodes its devices are, and is a part of a pool."""
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    obj = {"metadata": {"name": "s"}, "spec": {"driver": "d.example.com", "pool": pool, **spec}}
    assert refusals(ResourceSlice, obj) == expected


def test_generations() -> None:
    """Changes of the spec of a class or slice are counted."""
    made = created(DeviceClass, {"metadata": {"name": "c"}, "spec": {"extendedResourceName": "a.b/c"}})
    selectors = [{"cel": {"expression": "device.driver == 'd'"}}]
    changed = updated(DeviceClass, {**copy(made), "spec": {"selectors": selectors}}, made)
    assert (made["spec"], changed["metadata"]["generation"]) == ({}, 2)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "pending"),
        ({"allocation": ALLOCATION}, "allocated"),
        ({"allocation": ALLOCATION, "reservedFor": [CONSUMER]}, "allocated,reserved"),
    ],
)
def test_claim_columns(status: Obj, state: str) -> None:
    """A claim's state is whether it is allocated and reserved."""
    assert row(ResourceClaim, {**claim(request()), "status": status})["State"] == state
