"""import-linter holds the contracts of pyproject.toml; here is held that none forgets a package."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = {
    each["name"]: each
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
}
SOURCE_ROOTS = ("logd", "partitions", "replication", "consumer_groups", "client")


def test_every_core_is_held_to_be_without_io() -> None:
    """A new one would else be a core by its name alone."""
    listed = set(CONTRACTS["cores are sans-IO"]["source_modules"])
    cores = [folder for root in SOURCE_ROOTS for folder in (ROOT / root).rglob("core")]
    assert len(cores) >= 3
    for folder in cores:
        parts = folder.relative_to(ROOT).parts
        module = ".".join(parts if parts[0] == "logd" else parts[1:])
        assert module in listed, f"{folder} is in no contract"


def test_every_room_of_the_broker_knows_no_client() -> None:
    """All of the bottom-up order but what stands above it."""
    (layers,) = (each["layers"] for each in CONTRACTS.values() if each["type"] == "layers")
    rooms = {room.strip() for layer in layers[1:] for room in layer.split("|")}
    forbidden = CONTRACTS["the broker never imports the SDK or the CLI"]
    assert rooms <= set(forbidden["source_modules"])
