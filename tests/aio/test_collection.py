"""Collection: long collections of the oldest generation are not repeated."""

import gc
from collections.abc import Iterator

import pytest

from minikube_py.aio.collection import MIDDLE, OLD, YOUNG, Settled

OLDEST = 2


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Leave the collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def frozen_by(settled: Settled, generation: int) -> bool:
    """Whether a collection sets aside what survives it."""
    kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    settled.note("start", {"generation": generation})
    settled.note("stop", {"generation": generation})
    return gc.get_freeze_count() - before >= len(kept)


@pytest.mark.parametrize(
    ("long", "generation", "expected"),
    [(-1.0, OLDEST, True), (-1.0, OLDEST - 1, False), (60.0, OLDEST, False)],
)
def test_a_long_one_sets_its_survivors_aside(long: float, generation: int, expected: bool) -> None:
    """What survives is kept out of later collections only where looking at it again would take long."""
    assert frozen_by(Settled(long), generation) is expected


def test_it_follows_the_collector_until_the_end() -> None:
    """Collections are small and often, and are followed from the beginning to the end."""
    settled = Settled(60.0)
    settled.begin()
    try:
        gc.collect()
        followed = settled.longest > 0
    finally:
        settled.end()
    assert (followed, gc.get_threshold(), settled.note in gc.callbacks) == (True, (YOUNG, MIDDLE, OLD), False)
