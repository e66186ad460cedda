# Five verbs: demo, test, check, format, lock. Each makes what it needs first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: demo test check format lock clean

demo: $(VENV)/ready  ## the calculus environment: a job server, four workers, and a client that answers 2+3
	@$(BIN)/geartrain demo

test: check  ## everything: the checks, then every test
	$(BIN)/pytest -n $(JOBS) --dist loadgroup

check: $(VENV)/ready  ## style, types and the import arrows of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready  ## rewrite the sources the way `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/ready  ## resolve the dependencies anew into requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --extra dev --output-file requirements/dev.txt pyproject.toml

clean:  ## remove what the other verbs made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The marker is written last, so an interrupted installation is taken up again.
# Its output is kept: the one who typed `make demo` wants to see the demo.
$(VENV)/ready: requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) (once) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
