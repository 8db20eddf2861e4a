"""Volumes of files whose paths overlap: of one path, or one below the other. Pure."""

from collections.abc import Iterator, Sequence

from minikube_py.meta.objects import Obj

_SOURCES = (
    ("configMap", "ConfigMap", "name"),
    ("secret", "Secret", "secretName"),
    ("downwardAPI", "DownwardAPI", ""),
)


def overlapping_paths(volume: Obj) -> Iterator[str]:
    """The warnings about the paths of a volume's files."""
    for field, kind, name in _SOURCES:
        if items := (volume.get(field) or {}).get("items"):
            shown = f'{kind} "{volume[field].get(name) or ""}"' if name else kind
            yield from _overlaps([item.get("path") or "" for item in items], _about(volume, shown))
    if (projected := volume.get("projected")) is not None:
        yield from _projected(volume, projected.get("sources") or ())


def _about(volume: Obj, what: str) -> str:
    return f'volume "{volume.get("name") or ""}" ({what}): overlapping paths'


def _projected(volume: Obj, sources: Sequence[Obj]) -> Iterator[str]:
    known: set[str] = set()
    paths: list[str] = []
    about = ""
    for source in sources:
        if not any(value is not None for value in source.values()):
            yield f'volume "{volume.get("name") or ""}" (Projected) has no sources provided'
            continue
        for field, kind, name in _SOURCES:
            if items := (source.get(field) or {}).get("items"):
                paths = [item.get("path") or "" for item in items]
                shown = f'{kind} "{source[field].get("name") or ""}"' if name else kind
                about = _about(volume, f"Projected {shown}")
                break
        else:
            if token := source.get("serviceAccountToken"):
                paths, about = [token.get("path") or ""], _about(volume, "Projected ServiceAccountToken")
        yield from _overlaps(paths, about)
        yield from _overlaps(sorted([*set(paths), *known]), about)
        known |= set(paths)


def _overlaps(paths: Sequence[str], about: str) -> Iterator[str]:
    seen: list[str] = []
    for path in paths:
        plain = path.rstrip("/")
        if other := next((one for one in seen if _overlap(one, plain)), ""):
            yield f'{about}: "{plain}" with "{other}"'
        seen.append(plain)


def _overlap(one: str, other: str) -> bool:
    if not one or not other:
        return False
    return one == other or f"{one}/".startswith(other) or f"{other}/".startswith(one)
