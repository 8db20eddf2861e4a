"""The protobuf bodies that kubectl sends, read into JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.apiserver.protobuf import ProtobufError, decode


def varint(number: int) -> bytes:
    out = b""
    number &= (1 << 64) - 1
    while number > 0x7F:
        out, number = out + bytes((number & 0x7F | 0x80,)), number >> 7
    return out + bytes((number,))


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, body: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, body)


def test_config_map() -> None:
    """Maps and bytes are read; empty values that mean absence are dropped."""
    metadata = field(1, "x") + field(2, "") + field(3, "ns") + field(7, 0) + field(8, b"")
    data = field(2, field(1, "a") + field(2, "1")) + field(3, field(1, "b") + field(2, b"\x00\x01"))
    body = field(1, metadata) + data + field(4, 0)
    assert decode(envelope("v1", "ConfigMap", body)) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "x", "namespace": "ns"},
        "data": {"a": "1"},
        "binaryData": {"b": "AAE="},
        "immutable": False,
    }


def test_pod_with_inlined_and_special_fields() -> None:
    """Inlined messages, quantities, int-or-string, times and negative numbers come as JSON has them."""
    volume = field(1, "v") + field(2, field(2, b""))  # Volume.volumeSource is inlined; emptyDir is empty
    probe = field(1, field(2, field(1, "/") + field(2, field(1, 1) + field(3, "http")))) + field(2, 5)
    limits = field(1, field(1, "cpu") + field(2, field(1, "100m")))
    container = field(1, "c") + field(2, "i") + field(8, limits) + field(10, probe)
    metadata = field(1, "p") + field(8, field(1, 1_767_225_600))
    body = field(1, metadata) + field(2, field(1, volume) + field(2, container) + field(25, -5))
    assert decode(envelope("v1", "Pod", body)) == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 5},
                }
            ],
            "priority": -5,
        },
    }


def test_zero_replicas_are_kept() -> None:
    """A zero that differs from absence stays."""
    body = field(2, field(1, 0))
    assert decode(envelope("apps/v1", "Deployment", body))["spec"] == {"replicas": 0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{}", "expected prefix k8s"),
        (b"k8s\x00\xff", "damaged"),
        (envelope("v1", "Foo", b""), 'no kind "Foo" is registered'),
        (envelope("v1", "Pod", field(1, b"\x0a\x05ab")), "damaged"),
        (envelope("v1", "Pod", field(1, 7)), "damaged"),
        (envelope("v1", "Pod", field(1, field(1, b"\xff"))), "damaged"),
    ],
)
def test_damaged(data: bytes, message: str) -> None:
    """What is no message is refused with a reason."""
    with pytest.raises(ProtobufError, match=message):
        decode(data)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(body: bytes) -> None:
    """Whatever the bytes, there is an object or a ProtobufError."""
    for kind in ("Pod", "Secret"):
        try:
            assert decode(envelope("v1", kind, body))["kind"] == kind
        except ProtobufError as error:
            assert str(error) != ""
