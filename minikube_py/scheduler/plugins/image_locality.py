"""ImageLocality: prefer nodes that already have the pod's images."""

from typing import Any

from minikube_py.scheduler.framework import MAX_SCORE, SKIP, Plugin
from minikube_py.scheduler.podinfo import PodInfo
from minikube_py.scheduler.snapshot import NodeInfo, Snapshot

MEBIBYTE = 1024 * 1024
SMALLEST, LARGEST = 23 * MEBIBYTE, 1000 * MEBIBYTE
"""Sizes per container below which presence does not matter, and above which it matters no more."""


class ImageLocality(Plugin):
    """The sum of the sizes of images at hand, each weighed by the share of nodes that have it."""

    order = 30

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Any:
        if len(snapshot) < 2:
            return SKIP
        fields = ("initContainers", "containers")
        images = (c.get("image") for field in fields for c in pod.spec.get(field) or ())
        names = [normalized_name(image) for image in images if image]
        spread = {name: snapshot.having_image(name) / len(snapshot) for name in set(names)}
        return (names, spread) if any(spread.values()) else SKIP

    def score(self, pod: PodInfo, node: NodeInfo, prepared: Any) -> int:
        names, spread = prepared
        total = sum(int(node.images.get(name, 0) * spread[name]) for name in names)
        top = LARGEST * len(names)
        return MAX_SCORE * (min(max(total, SMALLEST), top) - SMALLEST) // (top - SMALLEST)


def normalized_name(image: str) -> str:
    """The name with its tag, `:latest` where it has none."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
