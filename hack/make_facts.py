"""Generate minikube_py/meta/facts.json.gz: the facts of Kubernetes' API schema, without its descriptions.

Run: .venv/bin/python hack/make_facts.py [version]. Source: the package kubernetes-validate, whose
`_definitions.json` carries types, formats, list types, merge keys and group-version-kinds.

The file is gzip over two parts: a line of JSON `{"version", "definitions": {name: [offset, length]},
"kinds": {"group/version/Kind": name}}`, then the definitions, each as JSON on a line of its own. A reader
unpacks it once and decodes a definition when it is asked for.
"""

import gzip
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

TARGET = Path(__file__).parent.parent / "minikube_py" / "meta" / "facts.json.gz"

KEPT = (
    "format",
    "required",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
)

# What the API's own OpenAPI says as `default` for fields that are keys of list items (the source has no
# defaults); server-side apply needs them to tell items apart.
KEY_DEFAULTS = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}

# Types that Kubernetes writes to JSON in its own way.
SPECIAL = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "format": "micro-time"},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"type": "object", "format": "raw"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": {"type": "object", "format": "raw"},
}


def plain_type(value: Any) -> str:
    """`string` of ["string", "null"]: in Kubernetes null stands for an absent value everywhere."""
    return next(one for one in value if one != "null") if isinstance(value, list) else value


def facts(schema: dict[str, Any]) -> dict[str, Any]:
    """The facts of one schema node, in the shape of OpenAPI v2."""
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "$ref" in schema:
        kept["$ref"] = "#/definitions/" + schema["$ref"].rpartition("/")[2]
    if "type" in schema:
        kept["type"] = plain_type(schema["type"])
    if "properties" in schema:
        kept["properties"] = {name: facts(one) for name, one in sorted(schema["properties"].items())}
    for child in ("items", "additionalProperties"):
        if child in schema:
            kept[child] = facts(schema[child])
    return kept


def definitions(version: str) -> dict[str, dict[str, Any]]:
    """Every definition's facts, by name."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("kubernetes-validate is missing: pip install 'minikube-py[dev]'")
    folder = Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema" / f"{version}-local"
    source = orjson.loads((folder / "_definitions.json").read_bytes())["$defs"]
    found = {name: SPECIAL.get(name) or facts(schema) for name, schema in sorted(source.items())}
    for name, defaults in KEY_DEFAULTS.items():
        for field, value in defaults.items():
            found[name]["properties"][field]["default"] = value
    return found


def main() -> None:
    """Write the facts of the version given as the argument (default v1.34.0)."""
    version = sys.argv[1] if len(sys.argv) > 1 else "v1.34.0"
    found = definitions(version)
    places: dict[str, list[int]] = {}
    kinds: dict[str, str] = {}
    body = bytearray()
    for name, schema in found.items():
        encoded = orjson.dumps(schema)
        places[name] = [len(body), len(encoded)]
        body += encoded + b"\n"
        gvks = schema.get("x-kubernetes-group-version-kind", ())
        if len(gvks) == 1:  # DeleteOptions and WatchEvent serve every group
            gvk = gvks[0]
            kinds["/".join(part for part in (gvk["group"], gvk["version"], gvk["kind"]) if part)] = name
    head = orjson.dumps({"version": version, "definitions": places, "kinds": kinds})
    TARGET.write_bytes(gzip.compress(head + b"\n" + body, 9, mtime=0))
    print(f"{TARGET}: {len(found)} definitions, {TARGET.stat().st_size} bytes, {len(body)} unpacked")


if __name__ == "__main__":
    main()
