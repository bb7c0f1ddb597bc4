"""A simulated disk: a tree of names, whose changes a power failure may undo until synced."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_file import PAGE_BYTES, SimulatedFile


class Directory:
    """Names as processes see them, and as they stand on the disk."""

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}


Node = SimulatedFile | Directory
Place = tuple[Directory, str]
"""A name in a directory."""


@dataclass(frozen=True, slots=True, eq=False)
class NameChange:
    """`removed` lost its entry, `added` got `node`: both or neither reach the disk."""

    removed: Place | None
    added: Place | None
    node: Node | None

    @property
    def places(self) -> set[Place]:
        return {place for place in (self.removed, self.added) if place is not None}

    def apply(self) -> None:
        if self.removed is not None:
            self.removed[0].durable.pop(self.removed[1], None)
        if self.added is not None and self.node is not None:
            self.added[0].durable[self.added[1]] = self.node


class SimulatedDisk:
    """Outlives the processes that use it. Nothing but a sync orders what reaches the disk: a change
    of one name may be there without an older change of another.

    `capacity_bytes` counts whole pages of files; `foreign_bytes` of it belong to others. `random`
    decides what a power failure leaves, and nothing else.
    """

    def __init__(self, random: SeededRandom, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.foreign_bytes = 0
        self._used_bytes = 0
        self.random = random
        self._root = Directory()
        self._pending: list[NameChange] = []

    @property
    def free_bytes(self) -> int:
        return max(0, self.capacity_bytes - self.foreign_bytes - self._used_bytes)

    def resized(self, file: SimulatedFile, before: int) -> None:
        """A file had `before` bytes, and has another size now."""
        if file.linked:
            self._used_bytes += pages(len(file.data)) - pages(before)

    def files(self) -> Iterator[tuple[str, SimulatedFile]]:
        """Every file with its path, as processes see them."""
        yield from _files("", self._root)

    def find(self, path: str) -> Node | None:
        """What is at an absolute path."""
        node: Node = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(node, Directory) or name not in node.entries:
                return None
            node = node.entries[name]
        return node

    def place(self, path: str) -> Place:
        """The directory that holds `path`, and the name in it. Raises FileNotFoundError."""
        head, _, name = path.rpartition("/")
        directory = self.find(head)
        if not isinstance(directory, Directory):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return directory, name

    def add(self, path: str, node: Node) -> None:
        """A new name."""
        self._change(None, self.place(path), node)

    def remove(self, path: str) -> None:
        self._change(self.place(path), None, None)

    def move(self, source: str, target: str) -> None:
        directory, name = self.place(source)
        self._change((directory, name), self.place(target), directory.entries[name])

    def sync_directory(self, directory: Directory) -> None:
        """Its changes reach the disk, and older ones of names that they depend on."""
        wanted: dict[NameChange, None] = {}
        needed: set[Place] = set()
        for change in reversed(self._pending):
            places = change.places
            if places & needed or any(place[0] is directory for place in places):
                wanted[change] = None
                needed |= places
        for change in reversed(wanted):
            change.apply()
        self._pending = [change for change in self._pending if change not in wanted]

    def sync_all(self) -> None:
        """syncfs."""
        for change in self._pending:
            change.apply()
        self._pending = []
        for _, file in self.files():
            file.sync()

    def lose_power(self) -> None:
        """Back to what is on the disk: what was synced, and whatever else happened to get there."""
        how = self.random.pick(("nothing", "everything", "prefix", "subset", "subset"))
        whole = {"nothing": 0, "everything": len(self._pending)}.get(how)
        if how == "prefix":
            whole = self.random.below(len(self._pending) + 1)
        missing: set[Place] = set()
        for number, change in enumerate(self._pending):
            kept = number < whole if whole is not None else self.random.chance(0.5)
            if kept and not change.places & missing:
                change.apply()
            else:  # what happened to the same names later can't be there without it
                missing |= change.places
        self._pending = []
        _restore(self._root)
        self._used_bytes = 0
        for _, file in self.files():
            file.lose_power(self.random)
            self._count(file, linked=True)

    def _count(self, node: Node | None, *, linked: bool) -> None:
        if isinstance(node, SimulatedFile):
            node.linked = linked
            self._used_bytes += pages(len(node.data)) * (1 if linked else -1)

    def _change(self, removed: Place | None, added: Place | None, node: Node | None) -> None:
        if removed is not None:
            self._count(removed[0].entries.pop(removed[1]), linked=False)
        if added is not None and node is not None:
            self._count(added[0].entries.get(added[1]), linked=False)
            added[0].entries[added[1]] = node
            self._count(node, linked=True)
        self._pending.append(NameChange(removed, added, node))


def pages(size: int) -> int:
    """Bytes of whole pages that hold `size` bytes."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _files(path: str, directory: Directory) -> Iterator[tuple[str, SimulatedFile]]:
    for name, node in directory.entries.items():
        if isinstance(node, Directory):
            yield from _files(f"{path}/{name}", node)
        else:
            yield f"{path}/{name}", node


def _restore(directory: Directory) -> None:
    directory.entries = dict(directory.durable)
    for node in directory.entries.values():
        if isinstance(node, Directory):
            _restore(node)
