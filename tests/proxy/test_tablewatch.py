"""The kernel's news of nft transactions: which of them have taken something of ours away."""

import pytest

from minikube_py.proxy.netlink import attribute, message
from minikube_py.proxy.tablewatch import Transactions

NEW_TABLE, DELETE_TABLE, DELETE_CHAIN, DELETE_RULE, DELETE_SET, NEW_ELEMENT, DELETE_ELEMENT, END = (
    10 << 8 | type for type in (0, 2, 5, 8, 11, 12, 14, 15)
)


def news(*types: int, table: str = "ours") -> bytes:
    """A transaction's messages about a table, and its end."""
    name = attribute(1, table.encode() + b"\0")
    name += bytes(-len(name) % 4)
    return b"".join(message(type, 0, name) for type in types) + message(END, 0, b"")


@pytest.mark.parametrize(
    ("data", "ours", "lost"),
    [
        (news(DELETE_TABLE), False, True),
        (news(DELETE_TABLE), True, True),
        (news(DELETE_CHAIN), False, True),
        (news(DELETE_RULE), True, True),
        (news(DELETE_SET), False, True),
        (news(DELETE_ELEMENT), False, True),
        (news(DELETE_ELEMENT, NEW_ELEMENT), True, False),
        (news(NEW_ELEMENT), False, False),
        (news(NEW_TABLE, DELETE_TABLE, NEW_TABLE, NEW_ELEMENT), True, False),
        (news(NEW_TABLE), False, False),
        (news(DELETE_TABLE, table="another"), False, False),
        (news(DELETE_TABLE, table="ours-too"), False, False),
        (news(DELETE_TABLE, table="another") + news(NEW_TABLE), False, False),
        (news(DELETE_TABLE) + news(NEW_TABLE), True, True),
        (b"", False, False),
        (b"\0" * 40, False, False),
    ],
    ids=range(16),
)
def test_a_loss(data: bytes, ours: bool, lost: bool) -> None:
    """What is deleted without the table being made anew is lost; our own changes of elements are no loss."""
    assert Transactions("ours").lost(data, ours=ours) is lost


def test_a_transaction_in_two_pieces() -> None:
    """What was deleted counts when the transaction ends, however the news is cut."""
    transactions, data = Transactions("ours"), news(DELETE_TABLE)
    end = len(data) - len(message(END, 0, b""))
    pieces = [transactions.lost(piece, ours=False) for piece in (data[:end], data[end:], news())]
    assert pieces == [False, True, False]
