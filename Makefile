# Two commands for a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test faults install lint types layers clean

run: install
	$(BIN)/tabmint run examples/flights.toml

# One thread each, for there is one process per core.
test: install lint types layers
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

# The long mode of tests/faults, one after the other, with the counts that docs/reliability.md shows.
faults: install
	TABMINT_FAULTS=long OMP_NUM_THREADS=1 $(BIN)/pytest -s tests/faults
	rm -rf build/ticks
	$(BIN)/python -m tests.faults.three_ticks build/ticks

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

layers: install
	$(BIN)/lint-imports

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch -c constraints.txt
	$(BIN)/pip install --quiet -e '.[dev]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
