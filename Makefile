# `make help` lists the verbs. Each makes its own prerequisites.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# What goes through the compiler is listed in setup.py and nowhere else.
HOT := $(wildcard $(shell sed -n '/^HOT = (/,/^)/s|^ *"\(.*\)",$$|src/geartrain/\1|p' setup.py))
SOURCES := $(shell find src/geartrain -type f -not -name '*.pyc')
# With a C compiler the hot path runs compiled, without one the same files run as they are.
CC_FOUND := $(shell command -v cc)
COMPILED := $(if $(CC_FOUND),build/compiled/ready)
AS_COMPILED := $(if $(CC_FOUND),PYTHONPATH=build/compiled)
# What has compiled files, and so is tested in both forms.
COMPILED_ROOMS := $(addprefix tests/,wire broker journal simulation server client worker)

.PHONY: help demo test check format coverage compiled bench bench-full guard bench-faults bench-durable bench-restart crash fuzz simulate soak lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(if $(wildcard $(VENV)/ready),,.venv-run/ready)  ## the calculus environment: a job server, four workers, and a client that answers 2+3
	@PYTHONPATH=$(if $(wildcard build/compiled/ready),build/compiled,src) $(firstword $(wildcard $(BIN)/python) .venv-run/bin/python) -m geartrain demo

test: check $(COMPILED)  ## the checks, every test, and those of the hot path again in its compiled form
	$(BIN)/pytest -n $(JOBS) --dist loadgroup
	$(if $(CC_FOUND),$(AS_COMPILED) $(BIN)/pytest -q -n $(JOBS) $(COMPILED_ROOMS) --ignore tests/worker/pool)

check: $(VENV)/ready  ## style, types and the import arrows of docs/architecture.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready  ## rewrite the sources the way `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compiled: build/compiled/ready  ## the hot path through mypyc, in build/compiled

bench: $(VENV)/ready build/bench/ready .venv-bench/ready $(COMPILED)  ## a short round of the benchmarks, to build/bench-short
	.venv-bench/bin/python -m benchmarks --short --to build/bench-short

bench-full: $(VENV)/ready build/bench/ready .venv-bench/ready $(COMPILED)  ## all benchmarks, to docs/benchmarks
	.venv-bench/bin/python -m benchmarks --to docs/benchmarks

guard: $(VENV)/ready build/bench/ready $(COMPILED)  ## count the instructions of a job and compare (needs valgrind)
	$(BIN)/python -m benchmarks.guard $(if $(COMMIT),--commit)

crash: $(VENV)/ready $(COMPILED)  ## kill the server 200 times under load and count what is lost
	$(AS_COMPILED) $(BIN)/python -m tests.crash --cycles $(or $(CYCLES),200) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/ready $(COMPILED)  ## a million hostile inputs: make fuzz SEED=7 INPUTS=10000
	$(AS_COMPILED) $(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000) $(if $(SEED),--seed $(SEED))

bench-faults: $(VENV)/ready $(COMPILED)  ## what peers that misbehave cost those that behave
	$(AS_COMPILED) $(BIN)/python -m benchmarks.faults

simulate: $(VENV)/ready $(COMPILED)  ## the broker beside an independent model: make simulate SEED=7 STEPS=1000000
	$(AS_COMPILED) $(BIN)/python -m tests.simulation --steps $(or $(STEPS),1000000) $(if $(SEED),--seed $(SEED))

soak: $(VENV)/ready  ## ten minutes of killed workers, restarted servers and cancelled clients: make soak SEED=7 SECONDS=60
	$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

bench-durable: $(VENV)/ready $(COMPILED)  ## acknowledged background jobs a second, against gearmand's SQLite queue and no disk
	$(AS_COMPILED) $(BIN)/python -m benchmarks.durable rate --folder build

bench-restart: $(VENV)/ready $(COMPILED)  ## a start with a million queued jobs, against gearmand's: some minutes
	$(AS_COMPILED) $(BIN)/python -m benchmarks.durable restart --folder build

lock: $(VENV)/ready  ## resolve the dependencies anew into requirements/
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --extra dev --output-file requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --constraints requirements/dev.txt --output-file requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-annotate --no-header --upgrade --output-file requirements/bench.txt requirements/bench.in

clean:  ## remove what the other verbs made
	rm -rf $(VENV) .venv-run .venv-bench build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The markers are written last, so an interrupted step is taken up again.
$(VENV)/ready: requirements/dev.txt pyproject.toml
	@echo "Setting up $(VENV) (once) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The environment of a user: no developers' tools and no compiler, so that the first answer comes soon.
.venv-run/ready: requirements/run.txt
	@echo "Setting up .venv-run (once) ..." >&2
	@test -x .venv-run/bin/python || $(PYTHON) -m venv .venv-run
	@if command -v uv >/dev/null; then uv pip install --quiet --python .venv-run/bin/python --require-hashes -r requirements/run.txt; \
	else .venv-run/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt; fi
	@touch $@

# The native modules of the hot path, and beside them links to all of src/, in whose place they are imported.
# Python prefers a native module to the source that it stands beside. Only an edit of the hot path asks for
# a compiler.
build/native/ready: $(VENV)/ready setup.py $(HOT)
	@echo "Compiling the hot path ..." >&2
	@rm -rf build/native
	@mkdir -p build
	@GEARTRAIN_COMPILED=1 $(BIN)/python setup.py -q build_ext --build-temp build/native/temp \
	    --build-lib build/native/lib > build/native.log 2>&1 || { cat build/native.log >&2; exit 1; }
	@touch $@

build/compiled/ready: build/native/ready $(SOURCES)
	@rm -rf build/compiled
	@mkdir -p build/compiled
	@cp -rs $(CURDIR)/build/native/lib/. $(CURDIR)/src/geartrain build/compiled/
	@find build/compiled -name __pycache__ -prune -exec rm -rf {} +
	@touch $@

# The load generator goes through mypyc too, and libgearman's client and worker through the C compiler.
BENCHMARKS := $(wildcard benchmarks/*.py benchmarks/apps/*)
build/bench/ready: $(VENV)/ready $(BENCHMARKS)
	@echo "Compiling the load generator ..." >&2
	@rm -rf build/bench build/generator
	@mkdir -p build/bench
	@$(BIN)/python benchmarks/compile.py --build-temp build/generator/temp --build-lib build/generator/lib \
	    > build/generator.log 2>&1 || { cat build/generator.log >&2; exit 1; }
	@cp -rs $(CURDIR)/build/generator/lib/. $(CURDIR)/benchmarks build/bench/
	@$(CC) -O2 -o build/bench/libgearman benchmarks/apps/libgearman.c -lgearman || echo "without libgearman" >&2
	@touch $@

.venv-bench/ready: requirements/bench.txt
	@echo "Setting up .venv-bench (once) ..." >&2
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@
