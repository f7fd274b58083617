# What one types here. Python 3.11 or newer is all that must be there; the rest is put into .venv.
#
#   make demo [PORT=8080] [OPS_PORT=8081] [ARGS="--opens-in 8 --crowd 50 --stock 20"]
#   make test [PYTEST_ARGS="-n 2"]      every check, as .ci/run does it
#   make lint                           the same without the tests
#   make soak                           outages, idle connections, fuzz, sales with faults, kill -9 under 2,000 checkouts
#   make bench                          measure, beside nginx on the same machine
#   make foreign-store                  put a shop that others wrote behind it, and go through it with a browser
#   make clean                          remove what the others made

PORT ?= 8080
OPS_PORT ?= 8081
ARGS ?=
# Two processes; tests marked with the same xdist_group share one, one after the other.
PYTEST_ARGS ?= -n 2 --dist loadgroup

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done),python3)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
BENCHES := $(if $(wildcard bench/*.py),bench)

.PHONY: help demo test lint soak bench foreign-store clean system
.DELETE_ON_ERROR:

help:
	@sed -n '3,9s/^# *//p' Makefile

demo: $(VENV)/runs
	$(BIN)/waitroom demo --port $(PORT) --ops-port $(OPS_PORT) $(ARGS)

test: lint system
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/develops
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy waitroom inventory_backend tests $(BENCHES)
	$(BIN)/lint-imports

soak: lint system
	OUTAGE_S=20 $(BIN)/pytest -n0 tests/journeys/test_outage.py
	FUZZ_ROUNDS=1500 $(BIN)/pytest -n0 --timeout 3600 tests/attacks/test_hot_path.py tests/attacks/test_till_hot_path.py
	IDLE=10000 $(BIN)/pytest -n0 -s --timeout 600 tests/attacks/test_bounds.py -k idle
	EVERY_LEDGER=1 $(BIN)/pytest $(PYTEST_ARGS) tests/inventory_backend/door
	CHECKOUTS=2000 $(BIN)/pytest -n0 -s --timeout 3600 tests/journeys/test_books.py
	FAULTY_SALES=400 $(BIN)/pytest $(PYTEST_ARGS) --timeout 3600 \
		tests/inventory_backend/test_checkout_faults.py tests/inventory_backend/test_checkout_crashes.py

bench: $(VENV)/develops system
	@.ci/system wrk
	$(BIN)/python -m bench

foreign-store: $(VENV)/develops
	@.ci/system chromium
	$(BIN)/python -m bench.foreign_store

clean:
	rm -rf $(VENV) .demo .foreign build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Programs that some tests drive. Missing ones are installed where that is possible, else named; no test fails for them.
system:
	@.ci/system chromium nginx haproxy caddy node postgresql

# Empty files that say what .venv holds, so that a second run is quick.
$(VENV)/exists:
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
		echo "waitroom needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
		echo "Install a newer one, or name one: make PYTHON=/path/to/python3.12 …"; exit 1; } >&2
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
		.ci/system venv:$(PYTHON) && $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

# The build tool goes first, so that building needs no second environment.
$(VENV)/runs: $(VENV)/exists pyproject.toml constraints.txt
	@echo "Installing into $(VENV) …"
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable '.[embedded]'
	@touch $@

$(VENV)/develops: $(VENV)/runs
	@echo "Installing the tools of development into $(VENV) …"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@
