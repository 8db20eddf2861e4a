"""Haste: what is short is done at once, what takes long in a thread, and hurries nobody there."""

import threading

import pytest

from minikube_py.aio.haste import SOON, TakesLong, hasten, left, spend


def work(cost: int) -> tuple[int, bool]:
    """Spends; what is left, and whether it ran in the main thread."""
    spend(cost)
    return left(10 * SOON), threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize(
    ("cost", "expected"), [(0, (SOON, True)), (SOON, (0, True)), (SOON + 1, (10 * SOON, False))]
)
async def test_long_work_begins_again_in_a_thread(cost: int, expected: tuple[int, bool]) -> None:
    """Work that spends too much is done in a thread, where nothing is counted."""
    assert expected == await hasten(work, cost)


async def test_refusals_pass() -> None:
    """What the work raises is raised, wherever it ran; nothing hurries outside."""

    def refuse(cost: int) -> None:
        spend(cost)
        raise ValueError("refused")

    for cost in (1, 2 * SOON):
        with pytest.raises(ValueError, match="refused"):
            await hasten(refuse, cost)
    spend(10 * SOON)
    assert left(5) == 5


async def test_steps_add_up() -> None:
    """Many short steps take long together."""
    steps: list[int] = []

    def walk() -> None:
        for step in range(4):
            steps.append(step)
            spend(SOON // 2)

    await hasten(walk)
    assert steps == [0, 1, 2, 0, 1, 2, 3]
    assert not issubclass(TakesLong, ValueError)
