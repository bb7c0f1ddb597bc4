# The commands of CONTRIBUTING.md. They need Python 3.11 or newer and make; all else goes to .venv.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
BIN := .venv/bin
FILES ?=
SOURCES := logd partitions/logd_partitions replication/logd_replication \
	consumer_groups/logd_consumer_groups client/logd_client
CHECKED := $(SOURCES) tests $(wildcard load/*.py load/peers/*.py load/scenarios/*.py)

# Where it is set, each of the hundreds of processes that the tests start would compile every module.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install check test demo bench load simulate soak mutate proto clean

install: .venv/installed-dev

.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo 'logd needs Python 3.11 or newer: make PYTHON=path/to/python' >&2; exit 1; }
	$(PYTHON) -m venv .venv

# What runs logd, and no more.
.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --no-cache-dir -e .
	@touch $@

# What works on logd. Installs the above with it.
.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q -e '.[arrow,dev]'
	@touch .venv/installed $@

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports

# What a user of bare stubs has: grpcio and its tools, and no logd.
.venv-stubs/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m venv .venv-stubs
	.venv-stubs/bin/python -m pip install -q grpcio grpcio-tools
	@touch $@

test: check .venv-stubs/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

# Leaves nothing outside of .venv and .demo: no compiled modules beside the sources either.
demo: export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache
demo: .venv/installed
	$(BIN)/python -m logd.dev.demo $(if $(FILES),"$(FILES)")

# BASELINE=write makes load/baseline.json anew.
BASELINE ?=
bench: install
	$(BIN)/python load/bench.py $(if $(filter write,$(BASELINE)),--write-baseline)

SCENARIO ?= steady
SECONDS ?= $(if $(filter soak,$(SCENARIO)),600,30)
SAMPLES ?=
HOST ?=
load: install
	$(BIN)/locust -f load/scenarios/$(SCENARIO).py --headless --only-summary --seconds $(SECONDS) \
		$(if $(SAMPLES),--samples $(SAMPLES)) $(if $(HOST),--host $(HOST))

SEEDS ?= 0:200
TRACE ?=
simulate: install
	PYTHONPATH=tests $(BIN)/python -m simulation.run_seeds --seeds $(SEEDS) $(if $(TRACE),--trace)

soak: install
	$(BIN)/python -m pytest -m soak

# PACKAGE=client/core tries a part of one.
PACKAGE ?= partitions
SEED ?= 1
mutate: install
	PYTHONPATH=tests $(BIN)/python -u -m mutants.run_mutants $(PACKAGE) --seed $(SEED)

proto:
	proto/generate

clean:
	rm -rf .venv .venv-proto .venv-stubs .demo build dist .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
