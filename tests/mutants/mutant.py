"""The mutants of a package: every change that cosmic-ray's operators can make, and a sample."""

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

Place = tuple[int, int]
"""Line and column, as both parsers count them."""

SAME = ("_Is_Eq", "_IsNot_NotEq", "_Eq_Is", "_NotEq_IsNot")
"""Say the same of None, of small numbers, of members of an Enum."""
NEVER_FITS = ("_MatMul", "_Pow")
"""No number here has the one; the other makes numbers that take all memory."""
LEFT_OUT = (*SAME, *NEVER_FITS, "/NoOp")


class Mutant(NamedTuple):
    """One change of one file. `path` is relative to the tree; `occurrence` counts the places of
    the file where the operator fits."""

    path: str
    line: int
    operator: str
    occurrence: int

    def code(self, source: str) -> str:
        """Of the file, changed."""
        changed = mutate_code(source, get_operator(self.operator)(), self.occurrence)
        assert isinstance(changed, str), "the file is the one that was looked at"
        return changed

    def diff(self, source: str) -> str:
        before, after = source.splitlines(), self.code(source).splitlines()
        lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))
        return "\n".join(lines[2:])


def sample(root: Path, package: str, count: int, seed: int) -> list[Mutant]:
    """`count` places of the package, or all, at each one change: in a random order, so that any
    beginning of it is a sample too. Equal trees and seeds give equal samples."""
    drawn = random.Random(seed)
    at = root / package
    files = [at] if at.is_file() else sorted(at.rglob("*.py"))
    by_place: dict[tuple[str, Place], list[Mutant]] = defaultdict(list)
    for file in files:
        path = file.relative_to(root).as_posix()
        for place, mutant in _all_of(path, file.read_text("utf-8")):
            by_place[path, place].append(mutant)
    mutants = [drawn.choice(several) for several in by_place.values()]
    return drawn.sample(mutants, min(count, len(mutants)))


def _all_of(path: str, source: str) -> Iterator[tuple[Place, Mutant]]:
    unseen = [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in _unseen(ast.parse(source))
    ]
    nodes = list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        operator = get_operator(name)
        if name.endswith(LEFT_OUT) or operator.arguments():
            continue
        places = (each for node in nodes for each in operator().mutation_positions(node))
        for occurrence, (begin, _) in enumerate(places):
            if not any(first <= begin < end for first, end in unseen):
                yield begin, Mutant(path, begin[0], name, occurrence)


def _unseen(tree: ast.Module) -> Iterator[ast.expr]:
    """What behaviour does not show: annotations, and how a dataclass is guarded and stored."""
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if isinstance(at := getattr(node, field, None), ast.expr):
                yield at
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dataclass":
            yield from (keyword.value for keyword in node.keywords)
