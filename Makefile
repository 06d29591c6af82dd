# Every target works on a bare Debian 12 that has python3, pip and make, and nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
UV_VERSION := 0.13.9
# Debian keeps servers outside the path of most users; the tests start one.
export PATH := $(PATH):/usr/sbin:/sbin
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup system run test check lint types imports docs format bench bench-judge incident soak lock hooks clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | \
	  while IFS='	' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: .venv/.ready  ## Make .venv with everything pinned in requirements/

run: setup  ## Set up, then watch a complete rehearsal on this machine
	$(BIN)/firedoor demo $(ARGS)

test: setup system  ## Set up, then run the whole test suite (ARGS='-k word' for a part)
	$(BIN)/python -m pytest $(ARGS)

check: lint types imports docs test  ## Everything that has to hold before a commit

lint: setup  ## Style of the code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup  ## Types, by two checkers
	$(BIN)/mypy
	$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python

imports: setup  ## Who may import whom
	$(BIN)/lint-imports

docs: setup  ## The documents tell the truth
	$(BIN)/python -m pytest -m docs

format: setup  ## Write the code in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup system  ## Measure the figures that the documents quote
	@scripts/system-packages aptly:aptly  # what others are measured by
	@set -e; for bench in tests/bench/bench_*.py; do \
	  name=$$(basename $$bench .py); echo $$name >&2; $(BIN)/python -m tests.bench.$$name $(ARGS); done

bench-judge: setup  ## Play every known halting rule against the judge; rewrite the page (ARGS)
	$(BIN)/python -m tests.bench.judge --write $(ARGS)

incident: setup system  ## Let bad signatures loose on 12 machines with networks of their own (ARGS)
	$(BIN)/python -m tests.incident $(ARGS)

soak: setup system  ## Hold the guarantees against thousands of simulated releases, for a night (ARGS)
	@scripts/suricata || echo 'the test that needs it is left out' >&2
	$(BIN)/python -m pytest -q tests/contract/test_preflight_tools.py -k suricata
	$(BIN)/python tests/bench/slow.py
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements/fuzz.txt
	@set -e; for target in journal otlp otlp-json osquery ndjson; do \
	  $(BIN)/python -m tests.fuzz $$target --seconds 600; done
	$(BIN)/python -m tests.bench.intake_kills
	$(BIN)/python -m tests.bench.restarts
	@scripts/bootable-debian || echo 'the tests that boot machines are left out' >&2
	$(BIN)/python -m pytest tests/bench/boots.py
	$(BIN)/python -m tests.incident --times 20
	$(BIN)/python tests/bench/collecting.py
	$(BIN)/python -m tests.bench.soak $(ARGS)

lock: setup .tools/uv-$(UV_VERSION)  ## Pin the newest versions that pyproject.toml allows
	@$(call pin,requirements/dev.txt,pyproject.toml --extra parquet --group dev)
	@$(call pin,requirements/bootstrap.txt,--group bootstrap)
	@$(call pin,requirements/fuzz.txt,--group fuzz)

hooks: setup  ## Let git run `make lint` before each commit
	@hook="$$(git rev-parse --git-path hooks)/pre-commit"; mkdir -p "$$(dirname "$$hook")"; \
	printf '#!/bin/sh\nexec make lint\n' >"$$hook"; chmod +x "$$hook"; echo "wrote $$hook"

clean:  ## Remove what the other targets made
	rm -rf .venv .tools build dist .mypy_cache .pyrefly_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What the tests drive: a browser, a second web server, a load generator, updaters.
system:
	@scripts/system-packages
	@scripts/vendor-databases || echo 'the tests that need them are left out' >&2

# Two steps, so that a changed pyproject.toml does not look at every pin again.
.venv/.ready: .venv/.pinned pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/.pinned: requirements/dev.txt | .venv/bin/python
	@echo "installing the pinned packages into .venv" >&2
	@$(PIP) install --require-hashes --only-binary :all: --requirement requirements/dev.txt
	@touch $@

# Debian's python3 has no venv module, and its pip refuses to install for the system: pip can
# still put virtualenv into a folder of ours.
.venv/bin/python:
	@scripts/virtual-environment "$(PYTHON)"

.tools/uv-$(UV_VERSION):
	@$(PIP) install --only-binary :all: --upgrade --target $@ uv==$(UV_VERSION)

# No host names in the pins: a mirror serves them as well as the registry does.
define pin
.tools/uv-$(UV_VERSION)/bin/uv pip compile -q --upgrade --universal \
  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
  --no-header --no-annotate --output-file $(1) $(2) && echo "wrote $(1)"
endef
