"""What is wrong with an applied configuration, told as Kubernetes' structured merge tells it.

Only for a configuration that is already known to be faulty: it is walked as a whole, every fault is told with
the path by which managed fields are named. Pure.
"""

from collections.abc import Iterator
from typing import Any

from minikube_py.meta import schema as forms
from minikube_py.meta.goformat import go_syntax, go_text, go_type
from minikube_py.meta.patch.fields import told
from minikube_py.meta.patch.typed import BadConfig, element_at
from minikube_py.meta.schema import Type

_NUMBERS = (forms.INT32, forms.INT64, forms.NUMBER)


def faults_text(type: Type, config: Any) -> str:
    """All faults of a configuration of `type` as one text; empty where there is none."""
    found = list(_faults(type, config, ""))
    return found[0] if len(found) == 1 else "\n  ".join(["errors:", *found]) if found else ""


def _faults(type: Type, value: Any, path: str) -> Iterator[str]:
    form = type.form
    if value is None:
        return
    if form in (forms.STRUCT, forms.MAP):
        yield from _map_faults(type, value, path)
    elif form == forms.LIST:
        yield from _list_faults(type, value, path)
    elif form in (forms.STRING, forms.BYTES) and not isinstance(value, str):
        yield f"{path}: expected string, got &value.valueUnstructured{{Value:{go_syntax(value)}}}"
    elif form == forms.BOOL and not isinstance(value, bool):
        yield f"{path}: expected boolean, got &{{{go_text(value)}}}"
    elif form in _NUMBERS and value.__class__ not in (int, float):
        yield f"{path}: expected numeric (int or float), got {go_type(value)}"


def _map_faults(type: Type, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected map, got &{{{go_text(value)}}}"
        return
    for name, item in value.items():
        child = type.field(name)
        if child is None:
            yield f"{path}.{name}: field not declared in schema"
        else:
            yield from _faults(child, item, f"{path}.{name}")


def _list_faults(type: Type, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got &{{{go_text(value)}}}"
        return
    seen: set[str] = set()
    for at, item in enumerate(value):
        place = f"[{at}]"
        if type.list_type in ("map", "set"):
            try:
                element = element_at(type, item, f"{path}: element {at}")
            except BadConfig as error:
                yield str(error)
                continue
            place = told((element,))
            if element in seen:
                yield f"{path}: duplicate entries for key {place}"
            seen.add(element)
        yield from _faults(type.items, item, f"{path}{place}")
