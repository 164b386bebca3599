# Each target makes .venv by itself with the machine's python3.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo drive test lint format bench fuzz clean

help:
	@echo "make demo    set up, train two policies on the sample drive, judge and film them"
	@echo "make drive   set up and drive the sample drive yourself, in the browser"
	@echo "make test    set up and run the tests"
	@echo "make lint    set up and check format, style and types"
	@echo "make format  set up and put the code into its format"
	@echo "make bench   set up and measure speed and fidelity"
	@echo "make fuzz    set up and read 10,000 damaged inputs; goes on where it was broken off"
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

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
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
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
