"""Which form of an answer the Accept header asks for: JSON, YAML, a Table, or partial metadata.

Protobuf is not spoken: a client that accepts JSON as well gets JSON, any other gets 406.
"""

from collections.abc import Mapping
from typing import NamedTuple

from minikube_py.apiserver.document import media_types
from minikube_py.errors import NotAcceptable
from minikube_py.meta.remembered import remembered

ACCEPTED = ("application/json", "application/yaml")
_JSON = frozenset(("application/json", "application/*", "*/*"))
_FORMS = {"Table": "table", "PartialObjectMetadata": "metadata", "PartialObjectMetadataList": "metadata"}


class Form(NamedTuple):
    """How to render objects: `shape` is object, table or metadata."""

    shape: str = "object"
    yaml: bool = False


@remembered(512)
def negotiate(accept: str) -> Form:
    """The first form in the client's order of preference that is served. Errors: NotAcceptable."""
    return _first(accept, _FORMS)


def negotiate_answer(accept: str) -> Form:
    """The same for what no list has, such as a review, and so no Table. Errors: NotAcceptable."""
    return _first(accept, {})


def _first(accept: str, forms: Mapping[str, str]) -> Form:
    if not accept:
        return Form()
    for name, parameters in media_types(accept):
        is_yaml = name == "application/yaml"
        if name not in _JSON and not is_yaml:
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return Form(yaml=is_yaml)
        if wanted in forms and parameters.get("g") == "meta.k8s.io" and parameters.get("v") == "v1":
            return Form(forms[wanted], yaml=is_yaml)
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(ACCEPTED)}")
