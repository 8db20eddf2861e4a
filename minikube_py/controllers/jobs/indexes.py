"""Completion indexes of an Indexed Job, and their text form `0,2-5`. Pure."""

from collections.abc import Iterable

from minikube_py.meta.objects import Obj, annotations_of, dig, labels_of

INDEX = "batch.kubernetes.io/job-completion-index"


def is_indexed(job: Obj) -> bool:
    return bool(dig(job, "spec.completionMode") == "Indexed")


def index_of(pod: Obj) -> int | None:
    """The pod's completion index, or None."""
    text = annotations_of(pod).get(INDEX) or labels_of(pod).get(INDEX) or ""
    return int(text) if text.isascii() and text.isdecimal() else None


def parse_indexes(text: str) -> set[int]:
    """The indexes that `0,2-5` names."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """The shortest text for `indexes`: runs of three or more are ranges, as are runs of two."""
    runs: list[list[int]] = []
    for index in sorted(set(indexes)):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    texts = []
    for first, last in runs:
        if first == last:
            texts.append(str(first))
        else:
            texts.append(f"{first},{last}" if last == first + 1 else f"{first}-{last}")
    return ",".join(texts)


def missing_indexes(completions: int, taken: Iterable[int], count: int) -> list[int]:
    """The `count` lowest indexes below `completions` that are not taken."""
    used = set(taken)
    found: list[int] = []
    for index in range(completions):
        if len(found) >= count:
            break
        if index not in used:
            found.append(index)
    return found
