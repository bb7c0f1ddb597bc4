"""README is held to the code: the life of a record, the links, the commands."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
STEP = re.compile(r"^\| (\d+) \| `([^`]+)` `([^`]+)` \|", re.MULTILINE)


def defined_names(file: Path) -> set[str]:
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (ast.FunctionDef, ast.AsyncFunctionDef)
            names |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, methods)}
    return names


def test_the_life_of_a_record_names_real_files_and_functions() -> None:
    steps = STEP.findall(README)
    assert [int(number) for number, *_ in steps] == list(range(1, 11))
    for _, file, name in steps:
        assert name in defined_names(ROOT / file), f"{file} has no {name}"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), f"README links to {target}"


def test_every_folder_of_the_house_is_named() -> None:
    for folder in ("proto", "logd", "partitions", "replication", "consumer_groups", "client"):
        assert f"[`{folder}/`]({folder}/README.md)" in README
