"""JSON values as Go prints them: what Kubernetes' messages show of a patch, word for word."""

from typing import Any

_KINDS = {str: "string", bool: "bool", int: "int64", float: "float64"}


def go_text(value: Any) -> str:
    """`value` as `%v` prints it: `map[a:1 b:[x y]]`, keys in order."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_text, value))}]"
    return value if isinstance(value, str) else _scalar(value, "<nil>")


def go_syntax(value: Any) -> str:
    """`value` as `%#v` prints it: `map[string]interface {}{"a":1}`."""
    if isinstance(value, dict):
        items = ", ".join(f"{_quoted(key)}:{go_syntax(value[key])}" for key in sorted(value))
        return f"{go_type(value)}{{{items}}}"
    if isinstance(value, list):
        return f"{go_type(value)}{{{', '.join(map(go_syntax, value))}}}"
    return _quoted(value) if isinstance(value, str) else _scalar(value, "interface {}(nil)")


def go_type(value: Any) -> str:
    """The type of `value` as `%T` prints it."""
    if isinstance(value, dict | list):
        return f"{'map[string]' if isinstance(value, dict) else '[]'}interface {{}}"
    return _KINDS.get(value.__class__, "<nil>")


def go_kind(value: Any) -> str:
    """The kind of `value`, as reflection names it: its type, but for `map` and `slice`."""
    return {dict: "map", list: "slice"}.get(value.__class__) or go_type(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _scalar(value: Any, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else str(value)
    )
