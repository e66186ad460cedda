# The verbs: demo, test, check, format, compiled, crash, simulate, lock, clean. Each makes what it needs first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
HOT := $(wildcard src/geartrain/wire/*.py src/geartrain/broker/*.py)
# With a C compiler the hot path runs compiled, without one the same files run as they are.
CC_FOUND := $(shell command -v cc)
COMPILED := $(if $(CC_FOUND),build/compiled/linked)
AS_COMPILED := $(if $(CC_FOUND),PYTHONPATH=build/compiled)

.PHONY: demo test check format compiled crash simulate lock clean

demo: $(VENV)/ready $(COMPILED)  ## the calculus environment: a job server, four workers, and a client that answers 2+3
	@$(AS_COMPILED) $(BIN)/geartrain demo

test: check $(COMPILED)  ## the checks, every test, and those of the hot path again in its compiled form
	$(BIN)/pytest -n $(JOBS) --dist loadgroup
	$(if $(CC_FOUND),$(AS_COMPILED) $(BIN)/pytest -q -n $(JOBS) tests/wire tests/broker tests/simulation tests/server)

check: $(VENV)/ready  ## style, types and the import arrows of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready  ## rewrite the sources the way `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compiled: build/compiled/linked  ## the hot path through mypyc, in build/compiled

crash: $(VENV)/ready $(COMPILED)  ## kill the server 200 times under load and count what is lost
	$(AS_COMPILED) $(BIN)/python -m tests.crash --cycles $(or $(CYCLES),200) $(if $(SEED),--seed $(SEED))

simulate: $(VENV)/ready $(COMPILED)  ## the broker beside an independent model: make simulate SEED=7 STEPS=1000000
	$(AS_COMPILED) $(BIN)/python -m tests.simulation --steps $(or $(STEPS),1000000) $(if $(SEED),--seed $(SEED))

lock: $(VENV)/ready  ## resolve the dependencies anew into requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --extra dev --output-file requirements/dev.txt pyproject.toml

clean:  ## remove what the other verbs made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The markers are written last, so an interrupted step is taken up again.
$(VENV)/ready: requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) (once) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# A copy of the whole package with the hot path as native modules; all of it is there, since it is imported
# in place of src/. Its other files are links, so that only an edit of the hot path asks for a compiler.
build/compiled/ready: $(VENV)/ready setup.py $(HOT)
	@echo "Compiling wire/ and broker/ ..." >&2
	@rm -rf build/compiled build/compiled-temp
	@mkdir -p build
	@GEARTRAIN_COMPILED=1 $(BIN)/python setup.py -q build --build-base build/compiled-temp \
	    --build-lib build/compiled > build/compiled.log 2>&1 || { cat build/compiled.log >&2; exit 1; }
	@touch $@

build/compiled/linked: build/compiled/ready $(wildcard src/geartrain/*.py src/geartrain/*/__init__.py)
	@for room in src/geartrain/*; do case $$room in */wire|*/broker|*/__pycache__) ;; \
	    *) rm -rf build/compiled/geartrain/$${room##*/} && ln -s $(CURDIR)/$$room build/compiled/geartrain/ ;; esac; done
	@touch $@
