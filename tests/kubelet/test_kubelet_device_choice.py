"""Decisions about devices: which ones a pod is to get, what a claim gives, what checkpoints keep."""

from pathlib import Path

import pytest

from minikube_py.kubelet.devicemanager import checkpoint
from minikube_py.kubelet.devicemanager.claiminfo import (
    ClaimInfo,
    ClaimsUnprepared,
    cdi_devices,
    claim_names,
    usable,
)
from minikube_py.kubelet.devicemanager.options import merged
from minikube_py.kubelet.devicemanager.poddevices import (
    NONE,
    DevicesLacking,
    Given,
    Known,
    Request,
    Stock,
    check,
    complete,
    first,
    holding,
)
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Device, Mount
from minikube_py.runtime.devices import Allocation, ClaimRef, PreparedDevice

R = "example.com/dongle"
ABC = Known(frozenset("abc"), frozenset("x"))


def ids(text: str) -> frozenset[str]:
    return frozenset(text)


def request(count: int, has: str | None = None, reusable: str = "", in_use: str = "") -> Request:
    return Request(R, count, None if has is None else ids(has), ids(reusable), ids(in_use))


@pytest.mark.parametrize(
    ("asked", "resource", "expected"),
    [
        (request(1), None, f"cannot allocate unregistered device {R}"),
        (
            request(1),
            Known(NONE, ids("a")),
            f"no healthy devices present; cannot allocate unhealthy devices {R}",
        ),
        (
            request(1, "x"),
            ABC,
            f"previously allocated devices are no longer healthy; cannot allocate unhealthy devices {R}",
        ),
        (request(2, "a"), ABC, f"changed request for resource {R} from 1 to 2"),
        (
            request(3, in_use="a"),
            ABC,
            f"requested number of devices unavailable for {R}. Requested: 3, Available: 2",
        ),
    ],
)
def test_why_there_are_no_devices(asked: Request, resource: Known | None, expected: str) -> None:
    """Each lack has Kubernetes' words."""
    with pytest.raises(DevicesLacking) as lacking:
        check(asked, resource)
        complete(asked, resource or Known(), first(asked))
    assert str(lacking.value) == expected


@pytest.mark.parametrize(
    ("asked", "preferred", "expected"),
    [
        (request(1), "", "a"),
        (request(1), "c", "c"),
        (request(2), "cz", "ac"),
        (request(2, reusable="b", in_use="ab"), "", "bc"),
        (request(1, reusable="ab", in_use="abc"), "", "a"),
        (request(2, in_use="a"), "a", "bc"),
    ],
)
def test_which_devices(asked: Request, preferred: str, expected: str) -> None:
    """What init containers hand on comes first, then what the plugin prefers and is free, then any."""
    assert complete(asked, ABC, first(asked), ids(preferred)) == ids(expected)


def asking(name: str, count: str, **more: object) -> Obj:
    return {"name": name, "resources": {"limits": {R: count, "cpu": "1"}}, **more}


@pytest.mark.parametrize(
    ("init", "main", "expected"),
    [
        ([], [asking("m", "2")], 2),
        ([asking("i", "2")], [asking("m", "1"), asking("n", "1")], 2),
        ([asking("i", "1")], [asking("m", "2")], 2),
        ([asking("s", "1", restartPolicy="Always")], [asking("m", "1")], 2),
        ([], [asking("m", "0")], 0),
        ([], [{"name": "m"}], 0),
    ],
)
def test_how_many_devices_a_pod_holds(init: list[Obj], main: list[Obj], expected: int) -> None:
    """Init containers' devices are used again, sidecars' are not; other resources are no devices."""
    stock = Stock({R: ABC}, {R}, {})
    pod = {"spec": {"initContainers": init, "containers": main}}
    assert len(holding(pod, {}, stock).get(R, NONE)) == expected


def test_what_comes_with_devices() -> None:
    """Of two things of one name the first counts; the kubelet's folder is where it really is."""
    one = Allocation(
        {"A": "1"}, (Mount("/var/lib/kubelet/x", "/x"),), (Device("/dev/a", "/dev/d"),), {}, ("v/c=1",)
    )
    two = Allocation(
        {"A": "2", "B": "2"}, (Mount("/y", "/x"),), (Device("/dev/b", "/dev/d"),), {"k": "v"}, ("v/c=1",)
    )
    options = merged([one, two], Path("/root"), ["claim/c=1"])
    assert (options.envs, options.annotations) == ({"A": "1", "B": "2"}, {"k": "v"})
    assert (options.mounts, options.devices) == ((Mount("/root/x", "/x"),), (Device("/dev/a", "/dev/d"),))
    assert options.cdi_devices == ("claim/c=1", "v/c=1")


def test_checkpoints_tell_what_was_written() -> None:
    """What is read is what was written; anything else is as good as none."""
    pods = {"uid": {"main": {R: Given(ids("ab"), Allocation({"A": "1"}, devices=(Device("/dev/a", "/d"),)))}}}
    text = checkpoint.devices_text(pods, {R: Known(ids("abc"), nodes={"a": (0, 1)})})
    assert checkpoint.read_devices(text) == (pods, {R})
    devices = [PreparedDevice("p", "d", ("r",), ("v/c=1",))]
    info = ClaimInfo(ClaimRef("ns", "claim", "uid"), {"gpu": devices, "nic": []}, {"pod-1"})
    assert checkpoint.read_claims(checkpoint.claims_text([info])) == [info]
    for broken in (b"", b"{}", text.replace(b"uid", b"vid")):
        with pytest.raises(checkpoint.Corrupt):
            checkpoint.read_devices(broken)
    with pytest.raises(checkpoint.Corrupt):
        checkpoint.read_claims(b'{"Data": "{}", "Checksum": 1}')


POD = {"metadata": {"name": "web", "namespace": "ns", "uid": "u"}, "spec": {}}
MINE = {
    "reservedFor": [{"uid": "u"}],
    "allocation": {"devices": {"results": [{"driver": "gpu"}, {"driver": "gpu"}]}},
}


def claim(status: Obj, **meta: object) -> Obj:
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "cu", **meta}, "status": status}


@pytest.mark.parametrize(
    ("given", "made", "why"),
    [
        (claim({}), False, "pod web (u) is not allowed to use ResourceClaim c (cu)"),
        (claim({"reservedFor": [{"uid": "u"}]}), False, "ResourceClaim c: not allocated"),
        (claim(MINE), True, "ResourceClaim ns/c was not created for pod ns/web (pod is not owner)"),
    ],
)
def test_claims_that_are_not_the_pods(given: Obj, made: bool, why: str) -> None:
    """A claim must be reserved for the pod, allocated, and if made for a pod, for this one."""
    with pytest.raises(ClaimsUnprepared) as refused:
        usable(POD, given, made=made)
    assert str(refused.value) == why


def test_claims_that_are() -> None:
    """Each driver of a claim is asked once."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u", "controller": True}
    info = usable(POD, claim(MINE, ownerReferences=[owner]), made=True)
    assert info == ClaimInfo(ClaimRef("ns", "c", "cu"), {"gpu": []})


def test_a_claim_that_is_not_made_yet() -> None:
    """A pod waits for the claim that its template is to make; one that needs none goes on."""
    entries = [{"name": "a", "resourceClaimTemplateName": "t"}, {"name": "b", "resourceClaimName": "own"}]
    pod = {**POD, "spec": {"resourceClaims": entries}}
    with pytest.raises(ClaimsUnprepared):
        claim_names(pod)
    pod["status"] = {"resourceClaimStatuses": [{"name": "a"}]}
    assert claim_names(pod) == ["own"]


@pytest.mark.parametrize(("name", "expected"), [("", "123"), ("big", "13"), ("none", "3")])
def test_devices_of_a_request(name: str, expected: str) -> None:
    """A request has its own devices and those that are for all; alternatives of a request are the request's."""
    devices = [
        PreparedDevice("p", "a", ("big/first",), ("1",)),
        PreparedDevice("p", "b", ("small",), ("2",)),
        PreparedDevice("p", "c", (), ("3",)),
    ]
    info = ClaimInfo(ClaimRef("ns", "c", "cu"), {"gpu": devices})
    assert "".join(cdi_devices(info, name)) == expected
