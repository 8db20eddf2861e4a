"""Device selectors: expressions (CEL) over one device. Pure but for the programs that are kept."""

import re
from functools import lru_cache
from typing import Any

from minikube_py.meta import cel
from minikube_py.meta.objects import Obj
from minikube_py.scheduler.devices.pools import Device

_DOMAIN = re.compile(r"""(?:attributes|capacity)\s*\[\s*(?:"([^"]*)"|'([^']*)')\s*\]""")
_COST = 1_000_000


class SelectorFault(Exception):
    """A selector that cannot be evaluated for a device; the message says why."""


def expressions_of(*holders: Obj) -> tuple[str, ...]:
    """The selectors of a class, or of a request."""
    found = (one for holder in holders for one in holder.get("selectors") or ())
    return tuple((one.get("cel") or {}).get("expression") or "" for one in found)


@lru_cache(maxsize=512)
def _program(expression: str) -> "tuple[cel.Program, tuple[str, ...]]":
    """The program, and the domains that it looks at: those that a device does not have are empty."""
    domains = tuple({double or single for double, single in _DOMAIN.findall(expression)})
    return cel.compile(expression, {"device": None}), domains


@lru_cache(maxsize=16)
def _maker(kind: str) -> "cel.Program":
    return cel.compile(f"{kind}(text)", {"text": None}, returns="any")


def _made(kind: str, text: str) -> Any:
    return _maker(kind).value({"text": text})


def matches(device: Device, expression: str) -> bool:
    """Whether a selector means the device. Errors: SelectorFault."""
    try:
        program, domains = _program(expression)
        return program.evaluate({"device": _shown(device, domains)}, _COST) is True
    except (cel.CompileError, cel.EvaluationError) as error:
        raise SelectorFault(f"runtime error: {error.message}") from error


def _shown(device: Device, domains: tuple[str, ...]) -> Obj:
    """A device as expressions see it: by domain and name."""
    attributes: dict[str, dict[str, Any]] = {domain: {} for domain in domains}
    capacity: dict[str, dict[str, Any]] = {domain: {} for domain in domains}
    for full, value in device.attributes.items():
        domain, _, name = full.partition("/")
        attributes.setdefault(domain, {})[name] = _value(value)
    for full, amount in device.capacity.items():
        domain, _, name = full.partition("/")
        capacity.setdefault(domain, {})[name] = _made("quantity", amount)
    return {"driver": device.id.driver, "attributes": attributes, "capacity": capacity}


def _value(value: Obj) -> Any:
    if "version" in value:
        return _made("semver", value["version"])
    return next((value[kind] for kind in ("bool", "int", "string") if value.get(kind) is not None), None)
