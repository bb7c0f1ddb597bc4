"""The rules of the house that a test can hold (CONTRIBUTING.md has them in short)."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from logd.broker.config import BrokerConfig
from logd.model.topic_config import TopicConfig

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "logd",
    "partitions/logd_partitions",
    "replication/logd_replication",
    "consumer_groups/logd_consumer_groups",
    "client/logd_client",
)
TESTED = {
    "model": "logd/model",
    "system": "logd/system",
    "partitions": "partitions/logd_partitions",
    "replication": "replication/logd_replication",
    "consumer_groups": "consumer_groups/logd_consumer_groups",
    "broker": "logd/broker",
    "client": "client/logd_client",
    "cli": "logd/cli",
    "dev": "logd/dev",
    "sim": "logd/sim",
    "flight": "logd/flight",
    "rpc": "logd/rpc",
    "wire": "logd/wire",
}
"""Folder of tests -> the package it mirrors. Other folders hold scenarios."""

FILE_LINES_MAX = 450
FILE_LINES_LOOKED_AT = 350
"""Lines of code: nobody shall shorten a reason to keep them."""
FUNCTION_LINES_MAX = 60
CONSTRUCTOR_ARGUMENTS_MAX = 7

NO_CODE = frozenset(
    {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER),
        *(tokenize.INDENT, tokenize.DEDENT),
    }
)

LONG_FILES = {
    "partitions/logd_partitions/partition_log.py": "the face of the log; its parts are elsewhere",
    "client/logd_client/consumer.py": "the consumer's face; its parts are elsewhere",
}
"""Files of more lines than are looked at -> why they are one file."""

CONSTRUCTORS_WITH_SETTINGS = {"Producer", "Consumer"}
"""Their keyword arguments are Kafka's settings, which users name one by one."""

MODULES_OF_MANY = {
    "logd/model/errors.py": "the error table",
    "logd/model/seams.py": "the seams, and the one error that a seam has of its own",
    "logd/model/key_ranges.py": "ranges, how they are split, and the router over them",
    "logd/model/batch_decoder.py": "decode_batch, and what it gives",
    "logd/broker/ports.py": "what the doors need of the broker",
    "logd/broker/authorizer.py": "the implementations of Authorizer",
    "logd/cli/main.py": "the command itself",
    "logd/cli/error_report.py": "the errors of the command line, and how they are told",
    "client/logd_client/client_config.py": "the settings of all clients",
    "partitions/logd_partitions/segment/read_plan.py": "the plans of a read",
    "consumer_groups/logd_consumer_groups/core/assignors.py": "all assignors",
    "consumer_groups/logd_consumer_groups/core/snapshots.py": "writing and reading snapshots",
}
"""Modules not named after the class they hold -> what they hold."""

DATA = {"NamedTuple", "Enum", "IntEnum", "StrEnum", "IntFlag", "Struct", "Protocol", "TypedDict"}
"""Bases of records, codes and Protocols. A module of these and of functions is named after its
subject."""

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
BANNED_IMPORTS = {
    "unittest": "pytest, with fakes",
    "unittest.mock": "fakes or the real thing, no mocks",
    "pytest_mock": "fakes or the real thing, no mocks",
    "logging": "structlog.get_logger()",
    "pickle": "a documented format",
}
IMPORTS_ALLOWED = {
    ("client/logd_client/diagnostics.py", "logging"): "what shows is the program's choice",
    ("logd/broker/diagnostics.py", "logging"): "turns what libraries log into structlog's form",
    ("logd/sim/simulation.py", "logging"): "takes the SDK's diagnostics into the trace",
}
"""(file, banned import) -> why it is needed there."""

TESTS_OF_MANY = {
    "tests/broker/test_bounds.py": "every table in memory, and what bounds it",
    "tests/client/test_arguments.py": "every number that the SDK takes",
    "tests/client/test_closing.py": "what waits in clients while they are closed",
    "tests/client/test_members.py": "members of a group against a real broker",
    "tests/client/test_other_loops.py": "clients on another event loop than their own",
    "tests/client/test_transports.py": "the contract of every Transport",
    "tests/cli/test_process.py": "logctl as a process: pipes, signals, long input",
    "tests/cli/test_numbers.py": "every number that logctl takes",
    "tests/broker/doors/grpc_door/test_request_numbers.py": "every number of requests",
    "tests/cli/test_transcripts.py": "what logctl prints, command by command",
    "tests/system/test_file_system.py": "the contract of every FileSystem",
    "tests/broker/test_first_append_errnos.py": "every errno of every call, under a first append",
    "tests/broker/test_sync_failure_ends.py": "a failed sync, from the file to a drain",
    "tests/partitions/test_read_errnos.py": "every errno that passes, under a read",
    "tests/broker/doors/test_producer_identities.py": "which ids each way into a broker takes",
    "tests/partitions/test_log_directory_damage.py": "a LogDirectory that meets what it should not",
    "tests/partitions/test_partition_log_model.py": "a PartitionLog against a list of batches",
    "tests/partitions/test_follower_damage.py": "flips and tears, with what a leader says of syncs",
    "tests/partitions/test_replica_log_model.py": "the same, with what followers do to it",
    "tests/replication/test_metadata_store.py": "the contract of every MetadataStore",
}
"""Tests not named after a module -> what they test."""

NOT_OURS = re.compile(r"(^|/)(\.|__pycache__|build/|dist/|node_modules/)|_pb2(_grpc)?\.pyi?$")


@cache
def files(suffix: str = "") -> tuple[str, ...]:
    """Paths of the house's files: what git would commit; all of a tree without git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = listed.stdout.splitlines()
    else:
        paths = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file()]
    return tuple(
        sorted(
            path
            for path in paths
            if path.endswith(suffix)
            and (path.startswith(".ci/") or not NOT_OURS.search(path))
            and (ROOT / path).is_file()
        )
    )


def packaged() -> list[str]:
    """The modules that are installed."""
    return [path for path in files(".py") if path.startswith(tuple(f"{p}/" for p in PACKAGES))]


@cache
def text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


@cache
def tree(path: str) -> ast.Module:
    return ast.parse(text(path), path)


def functions(path: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public_classes(path: str) -> list[ast.ClassDef]:
    return [
        node
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def none_of(findings: list[str]) -> None:
    assert not findings, "\n" + "\n".join(findings)


def lines_of_code(source: str) -> int:
    """Without blank lines, comments and docstrings."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(range(node.lineno, (node.end_lineno or 0) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def test_reasons_count_for_nothing() -> None:
    assert lines_of_code('"""Why,\nat length."""\n\n# Since.\nx = (  # so\n    1\n)\n') == 3


def test_files_are_short() -> None:
    findings = []
    for path in files(".py"):
        lines = lines_of_code(text(path))
        if lines > FILE_LINES_MAX:
            findings.append(f"{path}: {lines} lines, at most {FILE_LINES_MAX}")
        elif lines > FILE_LINES_LOOKED_AT and path not in LONG_FILES:
            findings.append(f"{path}: {lines} lines; part it, or say in LONG_FILES why not")
    stale = [p for p in LONG_FILES if lines_of_code(text(p)) <= FILE_LINES_LOOKED_AT]
    none_of(findings + [f"{path}: no longer needs its place in LONG_FILES" for path in stale])


def test_functions_are_short() -> None:
    none_of(
        [
            f"{path}:{function.lineno}: {function.name} has {lines} lines"
            for path in files(".py")
            for function in functions(path)
            if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
        ]
    )


def test_constructors_take_few_arguments() -> None:
    findings = []
    for path in packaged():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ClassDef) or node.name in CONSTRUCTORS_WITH_SETTINGS:
                continue
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    arguments = item.args
                    count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs) - 1
                    if count > CONSTRUCTOR_ARGUMENTS_MAX:
                        findings.append(f"{path}: {node.name} takes {count} arguments")
    none_of(findings)


def test_a_module_is_named_after_its_class() -> None:
    findings = []
    for path in packaged():
        stem = Path(path).stem
        classes = public_classes(path)
        names = [snake_case(node.name) for node in classes]
        named = stem in ("__init__", *names) or path in MODULES_OF_MANY
        if not named and not all(is_data(node) for node in classes):
            findings.append(f"{path} holds {', '.join(names)}")
    none_of(findings + [f"{path} is gone" for path in MODULES_OF_MANY if path not in files()])


def test_no_module_has_a_name_that_says_nothing() -> None:
    none_of(
        [
            path
            for path in files(".py")
            if FORBIDDEN_NAMES & set(Path(path).stem.split("_"))
            or FORBIDDEN_NAMES & set(Path(path).parent.parts)
        ]
    )


def test_modules_and_public_classes_have_docstrings() -> None:
    findings = []
    for path in packaged():
        module = tree(path)
        if module.body and not ast.get_docstring(module):
            findings.append(path)
        findings += [
            f"{path}: {node.name}"
            for node in public_classes(path)
            if not ast.get_docstring(node) and not is_record(node)
        ]
    none_of(findings)


def is_data(node: ast.ClassDef) -> bool:
    bases = {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    return bool(bases & DATA) or "dataclass" in decorators


def is_record(node: ast.ClassDef) -> bool:
    """Only fields or codes: their names and types say it."""
    return all(isinstance(item, ast.AnnAssign | ast.Assign) for item in node.body)


def test_the_sdk_is_documented_down_to_its_methods() -> None:
    exported = public_names("client/logd_client/__init__.py")
    findings = []
    for path in packaged():
        if not path.startswith("client/logd_client/"):
            continue
        for node in public_classes(path):
            if node.name not in exported or is_record(node):
                continue
            findings += [
                f"{path}: {node.name}.{item.name}"
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                and not item.name.startswith("_")
                and not ast.get_docstring(item)
            ]
    none_of(findings)


def public_names(path: str) -> set[str]:
    """`__all__` of a module, as it is written."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_what_is_left_to_do_names_its_issue() -> None:
    left = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!.*#\d)")
    none_of(lines_with(left, files(".py") + files(".proto") + files(".md")))


def test_banned_imports() -> None:
    findings = []
    for path in files(".py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            findings += [
                f"{path}:{node.lineno}: not {name}, but {BANNED_IMPORTS[name]}"
                for name in names
                if name in BANNED_IMPORTS and (path, name) not in IMPORTS_ALLOWED
            ]
    none_of(findings)


def test_tests_mirror_modules() -> None:
    findings = []
    for path in files(".py"):
        parts = Path(path).parts
        mirrored = parts[0] == "tests" and len(parts) > 2 and parts[1] in TESTED
        if not mirrored or not parts[-1].startswith("test_") or path in TESTS_OF_MANY:
            continue
        package = TESTED[parts[1]]
        module = parts[-1].removeprefix("test_")
        places = [p for p in packaged() if p.startswith(f"{package}/") and Path(p).name == module]
        inner = "/".join(parts[2:-1])
        if not any(Path(place).parent.as_posix().endswith(inner) for place in places):
            findings.append(f"{path}: no {module} in {package}/{inner}")
    none_of(findings + [f"{path} is gone" for path in TESTS_OF_MANY if path not in files()])


def test_the_house_has_its_folders() -> None:
    folders = {path.split("/")[0] for path in files() if "/" in path} - {".ci"}
    named = "proto logd partitions replication consumer_groups client tests load docs"
    assert folders <= set(named.split())


@pytest.mark.parametrize(
    ("folder", "name", "neighbours"),
    [
        ("proto", "logd_proto", ["logd_client"]),
        ("logd", "logd", ["logd.model", "logd_partitions", "logd.broker"]),
        ("logd/wire", "logd.wire", ["logd.model", "logd.rpc", "logd.system"]),
        ("logd/rpc", "logd.rpc", ["logd.wire", "logd.system", "logd.broker"]),
        ("partitions", "logd_partitions", ["logd.model", "logd.broker"]),
        ("replication", "logd_replication", ["logd.model", "logd.broker"]),
        ("consumer_groups", "logd_consumer_groups", ["logd.model", "logd.broker"]),
        ("client", "logd_client", ["logd.model", "logd_proto"]),
        ("tests", None, []),
        ("load", None, []),
    ],
)
def test_a_readme_says_where_to_begin(folder: str, name: str | None, neighbours: list[str]) -> None:
    opening = " ".join(text(f"{folder}/README.md").split("\n\n")[1].split())
    assert opening.startswith(f"Import name `{name}`" if name else "No import name")
    for neighbour in neighbours:
        assert f"`{neighbour}" in opening, f"where it stands to {neighbour}"
    start = re.search(r"Start reading\s+at `([^`]+)`", opening)
    assert start, "the file to start at"
    package = [folder, *(p for p in PACKAGES if p.startswith(f"{folder}/")), "."]
    assert any((ROOT / place / start[1]).is_file() for place in package), f"{start[1]} is not there"


def test_every_setting_is_documented() -> None:
    broker = BrokerConfig()
    defaults = {name: str(getattr(broker, name)) for name in BrokerConfig.__struct_fields__}
    for page, settings in [
        ("docs/configuration.md", defaults),
        ("docs/topic-settings.md", TopicConfig().as_strings()),
    ]:
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", text(page), re.MULTILINE)
        documented = {name: default.strip("`") for name, default in rows}
        assert sorted(documented) == sorted(settings), page
        wrong = {name for name in settings if settings[name] and settings[name] != documented[name]}
        assert not wrong, f"{page}: the documented default is another"


def test_nothing_names_a_machine_or_its_registry() -> None:
    places = ["/ro" + "ot/", "/ho" + r"me/\w", "/Us" + "ers/", r"(?<![\w.])/wo" + "rk/"]
    hosts = [
        "pypi" + r"\.org",
        "pythonhosted" + r"\.org",
        "registry" + r"\.npmjs",
        "artifac" + "tory",
    ]
    switches = ["--(extra-)?index" + "-url", "--trusted" + "-host", "_INDEX" + "_URL"]
    texts = [path for path in files() if Path(path).suffix not in (".binpb", ".xz")]
    none_of(lines_with(re.compile("|".join(places + hosts + switches)), texts))


def lines_with(pattern: re.Pattern[str], paths: tuple[str, ...] | list[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_way_in_is_written_down() -> None:
    makefile, contributing = text("Makefile"), text("CONTRIBUTING.md")
    for command in ("install", "check", "test", "demo", "bench"):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), f"make {command}"
        assert f"`make {command}`" in contributing
    assert re.match(r"# Changelog\n", text("CHANGELOG.md"))
