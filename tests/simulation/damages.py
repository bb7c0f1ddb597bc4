"""Every damage to the small files of a data directory: what the damage matrix combines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RICH, RICH_SIBLING, RICH_OTHER = "j-0", "j-1", "i-0"
"""Of several segments; the first is damaged, and swapped with the other two."""
SMALL = "i-1"
"""Of one segment, which nothing but two small files says whose it is."""
IN_A_PARTITION = ("partition.json", "leader-epochs")


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to one file, or to both indexes of a segment; `other`: with which it changes
    places."""

    how: str
    path: str
    other: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.how}{f' with {self.other}' if self.other else ''}"

    def do(self, data: Path) -> None:
        for path in data.glob(self.path):
            _do(self.how, path, (data / self.other).with_name(path.name))

    @property
    def files(self) -> set[str]:
        return {self.path, self.other} - {""}


def _do(how: str, path: Path, other: Path) -> None:
    content = path.read_bytes()
    match how:
        case "emptied":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "flipped":
            middle = len(content) // 2
            path.write_bytes(
                content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
            )
        case "missing":
            path.unlink()
        case "swapped":
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)


def all_damages(data: Path) -> list[Damage]:
    """To each kind of file, in each way. `data` is whole."""
    damages = [
        Damage(how, name)
        for name in ("recovery-points", "format.json", "metadata.sqlite")
        for how in ("emptied", "cut", "flipped", "missing")
    ]
    segment = sorted((data / RICH).glob("*.manifest"))[-1].stem
    names = (
        *IN_A_PARTITION,
        "producers.snapshot",
        f"{segment}.*index",
        f"{segment}.manifest",
    )
    for name in names:
        damages += _in_partition(name, RICH, (RICH_SIBLING, RICH_OTHER))
    for name in IN_A_PARTITION:
        damages += _in_partition(name, SMALL, (RICH_OTHER, RICH))
    groups = sorted(path.parent.name for path in data.glob("__*/partition.json"))
    for name in IN_A_PARTITION:
        damages += _in_partition(name, groups[0], groups[1:2])
    return damages


def _in_partition(name: str, partition: str, others: Sequence[str]) -> Iterator[Damage]:
    path = f"{partition}/{name}"
    for how in ("emptied", "cut", "flipped", "missing"):
        yield Damage(how, path)
    for other in others:
        yield Damage("swapped", path, f"{other}/{name}")


def can_meet(*damages: Damage) -> bool:
    """Whether they touch files of their own: else one would undo the other."""
    files = [file for damage in damages for file in damage.files]
    return len(set(files)) == len(files)
