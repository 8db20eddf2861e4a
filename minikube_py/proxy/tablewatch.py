"""TableWatch: notices that somebody else has taken our nft table, or parts of it, out of the kernel.

`nft flush ruleset`, which firewall tools do when they load their own rules, takes every table away. The kernel
tells of each transaction (Linux' nf_tables.h); one that deletes something of our table is not ours unless it
makes the table anew as well, or deletes elements only while we change some. Limits: elements that others
delete just while we change some are not missed; what others add is left alone.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator

from minikube_py.aio.netlink import KernelNews, Subject
from minikube_py.proxy.netlink import GENERAL, NETLINK_NETFILTER, attributes, messages

log = logging.getLogger(__name__)

TRANSACTIONS = Subject(NETLINK_NETFILTER, groups=1 << 6, buffer=4 << 20)  # NFNLGRP_NFTABLES
_NFTABLES = 10 << 8  # the subsystem in a message's type
_NEW_TABLE, _DELETE_ELEMENT, _NEW_GENERATION = (_NFTABLES | type for type in (0, 14, 15))
_DELETE = frozenset(_NFTABLES | type for type in (2, 5, 8, 11))  # table, chain, rule, set
_TOLD = frozenset((_NEW_TABLE, _DELETE_ELEMENT, _NEW_GENERATION)) | _DELETE
_NAME = 1  # the attribute that holds the table's name, whatever the message is about


class Transactions:
    """The kernel's news of one table, pure: whether a transaction has taken something away."""

    def __init__(self, table: str) -> None:
        self._name = table.encode()
        self._made = self._deleted = self._elements = False

    def lost(self, data: bytes, *, ours: bool) -> bool:
        """Whether a transaction that ends in `data` is a loss; `ours`: we are changing elements ourselves."""
        lost = False
        for type, body in messages(data):
            if type == _NEW_GENERATION:
                lost |= not self._made and (self._deleted or (self._elements and not ours))
                self._made = self._deleted = self._elements = False
            elif type in _TOLD and attributes(body[GENERAL:]).get(_NAME, b"").rstrip(b"\0") == self._name:
                self._made |= type == _NEW_TABLE
                self._deleted |= type in _DELETE
                self._elements |= type == _DELETE_ELEMENT
        return lost


class TableWatch:
    """Watches `table` while it is open (a context manager); `lost` is called when something of it was lost."""

    def __init__(self, table: str, lost: Callable[[], None]) -> None:
        self._table, self._lost = table, lost
        self._kernel = KernelNews(TRANSACTIONS, self._heard, self._missed)
        self._transactions = Transactions(table)
        self._ours = False

    def __enter__(self) -> None:
        self._kernel.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more."""
        self._kernel.close()

    @contextlib.contextmanager
    def ours(self) -> Iterator[None]:
        """The table is changed by us within this block. The kernel has told of a change before it is done."""
        self._ours = True
        try:
            yield
            self._kernel.read()
        finally:
            self._ours = False

    def _heard(self, data: bytes) -> None:
        if self._transactions.lost(data, ours=self._ours):
            self._tell()

    def _missed(self) -> None:
        """More news than was kept for us counts as a loss, unless it is our own."""
        self._transactions = Transactions(self._table)
        if not self._ours:
            self._tell()

    def _tell(self) -> None:
        log.warning("the nft table %s was changed by somebody else", self._table)
        self._lost()
