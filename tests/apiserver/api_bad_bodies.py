"""Bodies that no server may take, and what the answer is."""

from typing import Any

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
JSON, YAML = "application/json", "application/yaml"
Case = tuple[str, str, str, Any, str, int, str, str]
"""Name, method, path, body, its type, and the expected code, reason and beginning of the message."""


def pod(**container: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", **container}]}}


BODIES: list[Case] = [
    (
        "truncated JSON",
        "POST",
        CONFIG_MAPS,
        b'{"kind":"ConfigMap",',
        JSON,
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
        'json parse error: unexpected end of JSON input ({"kind":"ConfigMap",)',
    ),
    (
        "not an object",
        "POST",
        CONFIG_MAPS,
        b"[1]",
        JSON,
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): "
        "couldn't get version/kind; the body is not an object (5b315d)",
    ),
    ("empty body", "POST", CONFIG_MAPS, b"", JSON, 400, "BadRequest", "the object provided is unrecognized"),
    (
        "bad YAML",
        "POST",
        CONFIG_MAPS,
        b"a: [1",
        YAML,
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): error converting "
        "YAML to JSON: yaml: line ",
    ),
    (
        "duplicate YAML key, strict",
        "POST",
        f"{CONFIG_MAPS}?fieldValidation=Strict",
        b"kind: ConfigMap\nkind: ConfigMap\n",
        YAML,
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'yaml: unmarshal errors:\n  line 2: key "kind" already set in map',
    ),
    (
        "YAML bomb",
        "POST",
        CONFIG_MAPS,
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *([c - 1] * 8)) for c in range(98, 108)
        ),
        YAML,
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): error converting",
    ),
    (
        "deep JSON",
        "POST",
        CONFIG_MAPS,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        JSON,
        400,
        "BadRequest",
        "the object",
    ),
    (
        "another kind",
        "POST",
        CONFIG_MAPS,
        {"kind": "Secret", "apiVersion": "v1"},
        JSON,
        400,
        "BadRequest",
        'Secret in version "v1" cannot be handled as a ConfigMap',
    ),
    (
        "another version",
        "POST",
        CONFIG_MAPS,
        {"kind": "ConfigMap", "apiVersion": "v2"},
        JSON,
        400,
        "BadRequest",
        "the API version in the data (v2) does not match the expected API version (v1)",
    ),
    (
        "another namespace",
        "POST",
        CONFIG_MAPS,
        {"metadata": {"name": "x", "namespace": "other"}},
        JSON,
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    (
        "unknown field, strict",
        "POST",
        f"{PODS}?fieldValidation=Strict",
        pod(foo=1),
        JSON,
        400,
        "BadRequest",
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown '
        'field "spec.containers[0].foo"',
    ),
    (
        "duplicate field, strict",
        "POST",
        f"{CONFIG_MAPS}?fieldValidation=Strict",
        b'{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}',
        JSON,
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.a"',
    ),
    (
        "wrong type",
        "POST",
        PODS,
        pod(image=True),
        JSON,
        400,
        "BadRequest",
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal bool into Go struct field '
        "Container.spec.containers.image of type string",
    ),
    (
        "metadata is a list",
        "POST",
        CONFIG_MAPS,
        {"metadata": []},
        JSON,
        400,
        "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array',
    ),
    (
        "bad name",
        "POST",
        CONFIG_MAPS,
        {"metadata": {"name": "Bad_Name"}},
        JSON,
        422,
        "Invalid",
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a '
        "lowercase RFC 1123 subdomain",
    ),
    (
        "no name",
        "POST",
        CONFIG_MAPS,
        {"metadata": {}},
        JSON,
        422,
        "Invalid",
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
    ),
    (
        "another name",
        "PUT",
        f"{CONFIG_MAPS}/kube-root-ca.crt",
        {"metadata": {"name": "x"}},
        JSON,
        400,
        "BadRequest",
        "the name of the object (x) does not match the name on the URL (kube-root-ca.crt)",
    ),
    (
        "too large",
        "POST",
        CONFIG_MAPS,
        b" " * (3 * 1024 * 1024 + 1),
        JSON,
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    ),
    (
        "unknown media type",
        "POST",
        CONFIG_MAPS,
        b"<x/>",
        "text/xml",
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json",
    ),
    (
        "unknown patch type",
        "PATCH",
        f"{CONFIG_MAPS}/kube-root-ca.crt",
        b"{}",
        JSON,
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
        "application/apply-patch+yaml",
    ),
    (
        "damaged protobuf",
        "POST",
        CONFIG_MAPS,
        b"k8s\x00\x0a\xff",
        "application/vnd.kubernetes.protobuf",
        400,
        "BadRequest",
        "the object provided is unrecognized (must be of type ConfigMap): proto: the message is damaged",
    ),
    (
        "patch is no object",
        "PATCH",
        f"{CONFIG_MAPS}/kube-root-ca.crt",
        b"[]",
        "application/merge-patch+json",
        400,
        "BadRequest",
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
    ),
    (
        "apply without manager",
        "PATCH",
        f"{CONFIG_MAPS}/x",
        b"{}",
        "application/apply-patch+yaml",
        422,
        "Invalid",
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    ),
    (
        "unknown dry run",
        "POST",
        f"{CONFIG_MAPS}?dryRun=Some",
        {},
        JSON,
        422,
        "Invalid",
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: []string{"Some"}: '
        'supported values: "All"',
    ),
]
