# The same words everywhere: make demo, make test, make check, make bench. Everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

# One compute thread per process: two worker processes with two threads each waste a core.
export OMP_NUM_THREADS := 1

# No C compiler is needed: wheels only, but for two packages that come as pure Python source.
# Byte code is compiled on first import, and only of what is imported: that saves a minute.
# No warning of conflicts: resemblyzer is installed without its dependencies, on purpose.
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --no-compile --no-warn-conflicts --only-binary :all: --no-binary google-apitools,jsonpath-rw -c constraints.txt
KEY := $(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-12)
DEMO_READY := $(VENV)/.ready-demo-$(KEY)
TEST_READY := $(VENV)/.ready-test-$(KEY)
BENCH_READY := $(VENV)/.ready-bench-$(KEY)

.PHONY: help install demo test test-long check bench bench-accuracy bench-consent
help:
	@echo "make demo       a small lake from real speech, offline, then where to look"
	@echo "make test       the tests"
	@echo "make test-long  the tests that take more than half a minute each"
	@echo "make check      format, lint, types, quick tests"
	@echo "make bench      speed and memory, as ratios to an ordinary script and to the limit of the parts"
	@echo "make bench-accuracy  how far each measurement is off, on recordings that nothing was tuned on"
	@echo "make bench-consent  deciding, releasing, loading; the ledger and snapshots at some size"
	@echo "make install    everything that developing needs, into $(VENV)"

install: $(TEST_READY)

demo: $(DEMO_READY)
	$(BIN)/provoice demo $(DEMO)

# Two at a time: each test that runs the main job has worker processes of its own.
test: $(TEST_READY)
	$(BIN)/python -m pytest -q -n 2

test-long: $(TEST_READY)
	$(BIN)/python -m pytest -q -m long

check: $(TEST_READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.memory

bench-accuracy: $(BENCH_READY)
	$(BIN)/python -m benchmarks.accuracy --write docs/accuracy.md

bench-consent: $(BENCH_READY)
	$(BIN)/python -m benchmarks.decide
	$(BIN)/python -m benchmarks.release
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.ledger
	$(BIN)/python -m benchmarks.snapshots

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "provoice needs Python 3.11 or newer; on Debian: apt install python3.11-venv; elsewhere: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(DEMO_READY): | $(BIN)/python
	@echo "installing provoice into $(VENV): some minutes and 5 GB the first time, for torch"
	$(INSTALL) -e '.[diarization]'
	@# --no-deps: its dependency webrtcvad wants a compiler, and only the encoder's weights are read.
	$(INSTALL) --no-deps resemblyzer
	@touch $@

$(TEST_READY): | $(DEMO_READY)
	@echo "installing what the tests need into $(VENV)"
	$(INSTALL) -e '.[accent,diarization,gcs,s3,ray,beam,otel,dev]'
	@# --no-deps: only the module that reads NeMo's manifests is imported, and the rest of NeMo asks for much more.
	$(INSTALL) --no-deps nemo-toolkit
	@touch $@

$(BENCH_READY): | $(TEST_READY)
	@echo "installing what the benchmarks compare with into $(VENV)"
	$(INSTALL) -e '.[bench]'
	@touch $@
