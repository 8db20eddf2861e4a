"""JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces."""

from typing import Any

from minikube_py.errors import BadRequest


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """`target` with `patch` merged in; neither is changed, and the result shares what did not change.

    Errors: BadRequest where the patch is nested too deeply, or no object (the API patches objects only).
    """
    if not isinstance(patch, dict):
        raise BadRequest(f"error decoding patch: a merge patch must be an object, not {type(patch).__name__}")
    try:
        return _merged(target, patch)
    except RecursionError:
        raise BadRequest("error decoding patch: exceeded max depth") from None


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result.get(key), value)
        else:
            result[key] = value
    return result


def make_merge_patch(source: Any, target: Any) -> Any:
    """The merge patch that turns `source` into `target` (objects without null members)."""
    if not isinstance(source, dict) or not isinstance(target, dict):
        return target
    patch: dict[str, Any] = {key: None for key in source if key not in target}
    for key, value in target.items():
        if key not in source:
            patch[key] = value
        elif not identical(source[key], value):
            patch[key] = make_merge_patch(source[key], value)
    return patch


def identical(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1 and 1 is not 1.0."""
    if left.__class__ is not right.__class__:
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(identical, left, right))
    return bool(left == right)
