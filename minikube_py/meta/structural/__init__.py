"""Structural schemas: what a CustomResourceDefinition's OpenAPI v3 schema means for its objects.

    schema = Structural(version["schema"]["openAPIV3Schema"])
    schema.default(obj)                      # in place: defaults filled in
    schema.validate(obj, old)                # the refusals, worded as apiextensions-apiserver does
    check_schema(schema, path, ...)          # the refusals of the schema itself

Everything is compiled when it is first met, node by node, so that a definition of ten thousand fields costs
nothing until an object has them. Pruning is `meta.decoding`'s. Pure: no I/O, no clock; objects are
never changed but by `default`.
"""

from minikube_py.meta.structural.compiled import Structural
from minikube_py.meta.structural.definition import check_schema

__all__ = ["Structural", "check_schema"]
