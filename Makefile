# Each target makes .venv by itself with the machine's python3.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Of test-lowest: the lowest versions that pyproject.toml allows, in an environment of its own.
LOWEST := .venv-lowest
LOWEST_READY := $(LOWEST)/.ready
LOWEST_PYTHON ?= $(PYTHON)
TESTS ?= tests

.PHONY: help demo drive test test-fast test-lowest endurance kill fuzz lint format bench clean

help:
	@echo "make demo    set up, train two policies on the sample drive, judge and film them"
	@echo "make drive   set up and drive the sample drive yourself, in the browser"
	@echo "make test    set up and run the tests"
	@echo "make test-fast  set up and run the tests that take little, within a minute"
	@echo "make endurance  run the tests ten times, in random order, on a busy machine"
	@echo "make test-lowest  run the tests with the lowest version of every dependency (2 GB;"
	@echo "             TESTS=tests/test_world.py for some, LOWEST_PYTHON=python3.13 for another Python)"
	@echo "make kill    set up and kill commands 200 times at random moments: nothing may be lost"
	@echo "make lint    set up and check format, style, direction of imports and types"
	@echo "make format  set up and put the code into its format"
	@echo "make bench   set up and measure speed and fidelity"
	@echo "make fuzz    set up and read 11,000 damaged inputs; goes on where it was broken off"
	@echo "make clean   delete the virtual environment and caches"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all,dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/vista-train demo --out runs/demo

drive: $(READY)
	$(BIN)/vista-sim bake assets/proving-ground
	$(BIN)/vista-sim drive assets/proving-ground

# ARGS: further ones of pytest. A file stays in one process, so that what its tests share is made once.
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --fast

# Goes on where it was broken off; TIMES=2 for a first look.
TIMES ?= 10
endurance: $(READY)
	$(BIN)/python tests/endurance.py --times $(TIMES)

# uv resolves to the lowest direct dependencies, which pip cannot. What only tests need is as ever.
$(LOWEST_READY): pyproject.toml
	$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade pip uv
	$(LOWEST)/bin/uv pip compile --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		--index-strategy unsafe-best-match --extra all pyproject.toml -o $(LOWEST)/lowest.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--index-strategy unsafe-best-match -c $(LOWEST)/lowest.txt -e '.[all,dev]'
	touch $(LOWEST_READY)

test-lowest: $(LOWEST_READY)
	$(LOWEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -p no:cacheprovider $(TESTS)

# Goes on where it was broken off; COUNT=20 for a first look.
COUNT ?= 200
SEED ?= 0
kill: $(READY)
	$(BIN)/python tests/kill/kill.py --count $(COUNT) --seed $(SEED) --work runs/kill

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/fidelity.py

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --count 1000

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache
