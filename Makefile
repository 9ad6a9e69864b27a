# The contributor's manual: a bare `make` lists what there is.
# Everything happens in one virtual environment (.venv) and one target folder (target), made on demand.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name) 2>/dev/null)))
VENV   ?= $(CURDIR)/.venv
STATE  ?= state
RAW    ?=
WHEEL_PROFILE ?= dist
WHEEL_FLAGS   ?= $(if $(filter Linux,$(shell uname)),--zig --compatibility manylinux_2_28)
TEST_WORKERS  ?= 3
BIN    := $(VENV)/bin
# One profile for the demo, the tests and development, so that nothing is compiled twice.
CARGO_FLAGS := --release --locked
# A file's tests stay in one process. Where a process dies or hangs the run ends: another would only begin the same test again.
BY_FILE := --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Tests, demo and benchmarks start hundreds of processes, which import the same modules: compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE
export VIRTUAL_ENV := $(VENV)
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-rust test-python end-to-end check dependencies format soak bench wheel stop clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv takes a third of pip's processor time, and the compiler wants the rest; only pip knows the index that a machine's pip.conf names.
PIP_INSTEAD = { echo "uv could not install the packages (above): once more with pip" >&2; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(VENV)/requirements.txt; }

define install
$(BIN)/python -c 'import sys, tomllib; every = tomllib.load(open("pyproject.toml", "rb")); p = every["project"]; \
  extras = p["optional-dependencies"]; \
  print(*every["build-system"]["requires"], *p["dependencies"], *(line for name in sys.argv[1:] for line in extras[name]), sep="\n")' \
  $(1) > $(VENV)/requirements.txt
$(BIN)/uv pip install --quiet --requirement $(VENV)/requirements.txt || $(PIP_INSTEAD)
endef

# For Airflow's Spark provider, which requires pyspark-client: a part of PySpark that would be laid over the whole.
define install_alone
$(BIN)/uv pip install --quiet --no-deps "$(1)" || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "$(1)"
endef

# The environment follows pyproject.toml, the native module its sources: each is made anew only when they change.
# What the demo needs comes first, what developers need beside it (all extras but the clouds' providers, which no test imports) when it is asked for.
$(VENV)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "metropulse needs Python 3.11 or later; none was found, set PYTHON=" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metropulse needs Python 3.11 or later, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	$(call install,embedded airflow)
	touch $@

$(VENV)/.tools: $(VENV)/.ready
	$(call install,embedded airflow spark dev)
	$(call install_alone,apache-airflow-providers-apache-spark>=6)
	touch $@

$(VENV)/.built: $(VENV)/.ready $(shell find src ddl -type f) Cargo.toml Cargo.lock rust-toolchain.toml
	$(BIN)/maturin develop $(CARGO_FLAGS)
	touch $@

build: $(VENV)/.built $(VENV)/.tools ## Virtual environment and native module, ready to use

demo: $(VENV)/.built ## Three days through the Airflow DAG on embedded engines; RAW=<folder> for your own dt= folders
	@$(BIN)/metropulse demo --state $(STATE) $(if $(RAW),--raw $(RAW)) $(DEMO_FLAGS)

# Much of a test is waiting for a server or a disk: Rust's and Python's run side by side, each with engines of its own; what measures time
# comes after them, by itself.
test: build ## Every test, Rust and Python, but the long ones of end-to-end and soak
	$(MAKE) --no-print-directory -j2 test-rust test-python
	$(BIN)/python -m pytest -m "alone and not end_to_end"

test-rust: build ## The Rust tests, with the servers that they need
	MAKEFLAGS= $(BIN)/python tests/services.py cargo test $(CARGO_FLAGS) --no-default-features --quiet

test-python: build ## The Python tests that do not measure time, by TEST_WORKERS processes
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) $(BY_FILE) -m "not alone and not end_to_end"

# By two processes: each of these starts a dozen of its own.
end-to-end: build ## The tests of more DAGs, a whole Airflow and whole Spark clusters, which take minutes
	$(BIN)/python -m pytest --numprocesses 2 $(BY_FILE) -m "end_to_end and not soak"

check: build ## What must be clean: format, lints, types, stub, docs, spelling, dependencies
	cargo fmt --check
	cargo clippy $(CARGO_FLAGS) --all-targets --features python -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --quiet
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest metropulse._core
	$(BIN)/typos --format brief
	$(BIN)/hadolint Dockerfile
	$(MAKE) --no-print-directory dependencies

dependencies: $(VENV)/.tools ## Every dependency is used, every file belongs to a module, every licence may be linked
	cargo shear --locked --deny-warnings
	cargo deny --locked --log-level error check --hide-inclusion-graph licenses bans sources

format: build ## Put Rust and Python into shape
	cargo fmt
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

soak: build ## The longest tests, and end-to-end: thousands of random histories, a hundred crashes, 200 days that wait in Airflow
	METROPULSE_SOAK=1 $(BIN)/python -m pytest -o faulthandler_timeout=0 -m "soak or end_to_end"

bench: build ## Benchmarks beside their peers, results checked first; BENCH_SIZE=full for the large sizes
	$(BIN)/python benches/run.py

# Zig's linker knows the symbols of older C libraries, so that a wheel built here runs on every Linux since 2018.
wheel: build ## A wheel for publishing, in dist/, tried in an empty environment; WHEEL_PROFILE=release builds faster
	$(if $(WHEEL_FLAGS),$(BIN)/python -m pip install --quiet --disable-pip-version-check "ziglang>=0.15")
	rm -f dist/*.whl
	$(BIN)/maturin build --profile $(WHEEL_PROFILE) --locked $(WHEEL_FLAGS) --out dist
	METROPULSE_WHEEL=$(CURDIR)/dist $(BIN)/pytest -q tests/python/house/test_wheel.py

stop: ## Stop the embedded engines of STATE
	@$(BIN)/metropulse stop --state $(STATE)

clean: ## Remove what was built; the state folder stays
	rm -rf $(VENV) target dist
