"""Makes minikube_py/apiserver/protobuf_fields.json.gz: the field numbers of Kubernetes' protobuf messages.

    python hack/protobuf_fields.py $(command -v kubectl)

kubectl carries the descriptors of every API message it may send, compressed. What is taken from them are facts
of the wire format: for each message the number, JSON name and type of its fields. Which fields are inlined in
JSON and which are required comes from the OpenAPI definitions of the package kubernetes-validate.
"""

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
from google.protobuf import descriptor_pb2

OUTPUT = Path(__file__).parents[1] / "minikube_py/apiserver/protobuf_fields.json.gz"
WANTED = re.compile(
    r"k8s\.io/(api/[a-z]+/v\d|apimachinery/pkg/(apis/meta/v1|api/resource|runtime|util/intstr))/generated\.proto"
)
POINTERS = frozenset(
    """activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation automountServiceAccountToken
    backoffLimit backoffLimitPerIndex blockOwnerDeletion completions controller defaultMode
    deletionGracePeriodSeconds enableServiceLinks expirationSeconds failedJobsHistoryLimit force fsGroup
    gracePeriodSeconds hostProcess hostUsers immutable leaseDurationSeconds leaseTransitions manualSelector
    maxFailedIndexes minReplicas mode optional orphanDependents parallelism partition priority privileged
    progressDeadlineSeconds readOnlyRootFilesystem ready replicas revisionHistoryLimit runAsGroup runAsNonRoot
    runAsUser seLinuxMount serving setHostnameAsFQDN shareProcessNamespace startingDeadlineSeconds
    storageClassName successfulJobsHistoryLimit suspend terminating terminationGracePeriodSeconds timeoutSeconds
    tolerationSeconds ttlSecondsAfterFinished""".split()
)
"""Optional fields whose zero value differs from their absence; every other zero is what absence means."""
TYPES = {
    1: "double",
    3: "int",
    4: "int",
    5: "int",
    8: "bool",
    9: "string",
    11: "message",
    12: "bytes",
    13: "int",
}
MESSAGE, REPEATED = 11, 3


def descriptors(binary: bytes) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """The compressed file descriptors that a Go binary carries."""
    position = binary.find(b"\x1f\x8b\x08")
    while position >= 0:
        try:
            raw = zlib.decompressobj(31).decompress(binary[position : position + 2_000_000])
            found = descriptor_pb2.FileDescriptorProto.FromString(raw)
            if WANTED.fullmatch(found.name):
                yield found
        except Exception:  # the same bytes at a place where nothing is compressed
            pass
        position = binary.find(b"\x1f\x8b\x08", position + 3)


def definition(message: str, definitions: dict[str, Any]) -> dict[str, Any] | None:
    """The OpenAPI definition of a message."""
    return definitions.get("io.k8s." + message.removeprefix("k8s.io."))


def fields(name: str, message: Any, definitions: dict[str, Any]) -> dict[int, list[Any]]:
    """Number > [JSON name, type, flags]; flags: r repeated, m map, i inlined in JSON, z zero is kept."""
    entries = {f".{name}.{nested.name}": nested for nested in message.nested_type if nested.options.map_entry}
    known = definition(name, definitions) or {}
    properties, required = known.get("properties") or {}, set(known.get("required") or ())
    result: dict[int, list[Any]] = {}
    for field in message.field:
        flags, type, target = "", TYPES[field.type], field.type_name.lstrip(".")
        if field.type_name in entries:
            value = entries[field.type_name].field[1]
            flags, type, target = "m", TYPES[value.type], value.type_name.lstrip(".")
        elif field.label == REPEATED:
            flags = "r"
        if properties and field.name not in properties and field.type == MESSAGE and not flags:
            flags += "i"
        if field.name in required or field.name in POINTERS:
            flags += "z"
        result[field.number] = [field.name, target or type, flags]
    return result


def main() -> None:
    """Read the binary named on the command line and write the table."""
    schemas = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    definitions = json.loads((schemas / "v1.34.0-local" / "_definitions.json").read_bytes())["$defs"]
    table: dict[str, Any] = {}
    for file in descriptors(Path(sys.argv[1]).resolve().read_bytes()):
        for message in file.message_type:
            name = f"{file.package}.{message.name}"
            table[name] = fields(name, message, definitions)
    text = json.dumps(dict(sorted(table.items())), separators=(",", ":"), sort_keys=True)
    OUTPUT.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
