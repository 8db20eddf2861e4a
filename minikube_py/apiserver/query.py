"""Query parameters as the options that the registry takes; each refusal is worded as Kubernetes words it."""

import json
from collections.abc import Mapping
from typing import Any

from minikube_py.apiserver.request import Query, flag
from minikube_py.errors import BadRequest, Cause, Invalid
from minikube_py.registry.base import DeleteOptions, ListOptions, WatchOptions

MAX_MANAGER = 128  # characters of a field manager's name
FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
PEOPLES = ("curl", "Wget", "Mozilla/5.0")
"""What the user agents begin with through which people look at the API."""
PROPAGATION = ("Background", "Foreground", "Orphan")


def text(query: Query, name: str) -> str:
    """The first value of a parameter, empty where it is not given."""
    values = query.get(name)
    return values[0] if values else ""


def number(query: Query, name: str) -> int | None:
    """The parameter as an integer, None where it is not given or empty. Errors: BadRequest."""
    value = text(query, name)
    if not value:
        return None
    digits = value[1:] if value[0] in "+-" else value
    is_number = digits.isascii() and digits.isdigit()
    if is_number and len(digits) < 20 and -(2**63) <= int(value) < 2**63:
        return int(value)
    why = "value out of range" if is_number else "invalid syntax"
    raise BadRequest(f'strconv.ParseInt: parsing "{value}": {why}')


def list_options(query: Query) -> ListOptions:
    """The options of a list. Errors: BadRequest, Invalid."""
    if not query:
        return ListOptions()
    limit = number(query, "limit") or 0
    number(query, "timeoutSeconds")
    return ListOptions(
        labels=text(query, "labelSelector"),
        fields=text(query, "fieldSelector"),
        limit=limit,
        continue_token=text(query, "continue"),
        resource_version=text(query, "resourceVersion"),
        match=text(query, "resourceVersionMatch"),
        send_initial_events=_initial(query),
    )


def watch_options(query: Query) -> WatchOptions:
    """The options of a watch. Errors: BadRequest, Invalid."""
    number(query, "limit")
    return WatchOptions(
        labels=text(query, "labelSelector"),
        fields=text(query, "fieldSelector"),
        resource_version=text(query, "resourceVersion"),
        match=text(query, "resourceVersionMatch"),
        bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial_events=_initial(query),
        continue_token=text(query, "continue"),
    )


def pinned(query: Query, name: str) -> Query:
    """The query of a list or watch that may only see the object of that name."""
    escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    fields = [*filter(None, (text(query, "fieldSelector"),)), f"metadata.name={escaped}"]
    return {**query, "fieldSelector": [",".join(fields)]}


def _initial(query: Query) -> bool | None:
    return flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None


def pretty(query: Query, user_agent: str) -> bool:
    """Whether the answer is read by a person: the parameter says so, or the client is a browser or its like."""
    if "pretty" in query:
        return flag(query, "pretty")
    return user_agent.startswith(PEOPLES)


def dry_run(query: Query, options: str, body: Mapping[str, Any] | None = None) -> bool:
    """Whether the write is a dry run, by query or DeleteOptions body. Errors: Invalid."""
    values = list(query.get("dryRun", ())) + list((body or {}).get("dryRun") or ())
    values = [value for value in values if value]
    if any(value != "All" for value in values):
        given = ", ".join(f'"{value}"' for value in values)
        message = f'Unsupported value: []string{{{given}}}: supported values: "All"'
        raise _refused(options, Cause("FieldValueNotSupported", message, "dryRun"))
    return bool(values)


def field_validation(query: Query, options: str) -> str:
    """Strict, Warn or Ignore; Warn unless asked otherwise. Errors: Invalid."""
    value = text(query, "fieldValidation")
    if value and value not in FIELD_VALIDATION:
        supported = ", ".join(f'"{known}"' for known in FIELD_VALIDATION)
        raise _unsupported(options, "fieldValidation", value, f"supported values: {supported}")
    return value or "Warn"


def field_manager(query: Query, user_agent: str, options: str) -> str:
    """Who owns the fields that are set: the parameter, or the user agent up to its slash. Errors: Invalid."""
    value = text(query, "fieldManager")
    if not value:
        agent = user_agent.partition("/")[0][:MAX_MANAGER]
        return "".join(c for c in agent if c.isprintable()) or "unknown"
    if len(value) > MAX_MANAGER:
        message = f"Too long: may not be more than {MAX_MANAGER} bytes"
        raise _refused(options, Cause("FieldValueTooLong", message, "fieldManager"))
    if not value.isprintable():
        at, found = next((at, found) for at, found in enumerate(value) if not found.isprintable())
        why = f"invalid character U+{ord(found):04X} (at position {len(value[:at].encode())})"
        message = f"Invalid value: {json.dumps(value)}: {why}"
        raise _refused(options, Cause("FieldValueInvalid", message, "fieldManager"))
    return value


def given(query: Query) -> dict[str, str]:
    """fieldManager and fieldValidation, as far as the query has them."""
    said = {name: text(query, name) for name in ("fieldManager", "fieldValidation") if name in query}
    return {name: value for name, value in said.items() if value}


def apply_manager(query: Query) -> None:
    """Refuse an apply patch that names no field manager. Errors: Invalid."""
    if not text(query, "fieldManager"):
        message = "Required value: is required for apply patch"
        raise _refused("PatchOptions", Cause("FieldValueRequired", message, "fieldManager"))


def force(query: Query, *, is_apply: bool) -> bool:
    """Whether an apply takes over what others own. Errors: Invalid where the patch is no apply."""
    if "force" not in query:
        return False
    if not is_apply:
        message = "Forbidden: may not be specified for non-apply patch"
        raise _refused("PatchOptions", Cause("FieldValueForbidden", message, "force"))
    return flag(query, "force")


def include_object(query: Query) -> str:
    """What a Table's rows carry of their objects: None, Metadata or Object. Errors: BadRequest."""
    given = text(query, "includeObject") or "Metadata"
    if given not in ("Metadata", "Object", "None"):
        why = f"includeObject: Invalid value: \"{given}\": must be 'Metadata', 'Object', 'None', or empty"
        raise BadRequest(f"Unable to convert to Table as requested: {why}")
    return given


def delete_options(query: Query, body: Mapping[str, Any]) -> DeleteOptions:
    """The options of a delete: those of the body, else those of the query. Errors: BadRequest, Invalid."""
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = number(query, "gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise BadRequest("json: cannot unmarshal gracePeriodSeconds into Go value of type int64")
    propagation = body.get("propagationPolicy") or text(query, "propagationPolicy")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = flag(query, "orphanDependents")
    if propagation and orphan is not None:
        message = f'Invalid value: "{propagation}": orphanDependents and deletionPropagation cannot be both set'
        raise _refused("DeleteOptions", Cause("FieldValueInvalid", message, "propagationPolicy"))
    if propagation and propagation not in PROPAGATION:
        supported = ", ".join(f'"{known}"' for known in PROPAGATION)
        raise _unsupported("DeleteOptions", "propagationPolicy", propagation, f"supported values: {supported}")
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace_period=grace,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        orphan_dependents=orphan,
    )


def _unsupported(options: str, field: str, value: object, why: str) -> Invalid:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    kind = "Unsupported value" if isinstance(value, str) else "Invalid value"
    reason = "FieldValueNotSupported" if isinstance(value, str) else "FieldValueInvalid"
    return _refused(options, Cause(reason, f"{kind}: {shown}: {why}", field))


def _refused(options: str, cause: Cause) -> Invalid:
    message = f'{options}.meta.k8s.io "" is invalid: {cause.field}: {cause.message}'
    details = {"group": "meta.k8s.io", "kind": options}
    return Invalid(message, details=details, causes=(cause,))
