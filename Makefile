# `make demo` and `make test` need Python 3.11, make and a package index; each makes the environment first, where it is not there yet.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test slow laws histories resume bench-index bench-loader bench-batch env lint types unit format clean

demo: env
	$(BIN)/python -m bionemo.examples.protein_mlm

test: lint types unit

env: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: env
	$(BIN)/mypy

# Two processes at a time, each with one thread: torch's own threads would wait for one another.
unit: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations=10

# Larger samples of the permutation's statistics, and machine code of every map: a quarter to half an hour.
slow: env
	$(BIN)/python -m pytest --durations=20 -m slow

# A thousand examples of every law: about an hour.
laws: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 property_tests --hypothesis-profile=more

# Ten thousand histories of stops and resumes, three at a time.
histories: env
	$(BIN)/python -m pytest property_tests/test_pipeline_laws.py --hypothesis-profile=many -k history_of_worlds

# Thousands of Lightning runs that are stopped, saved and resumed, each compared with the run that was not stopped.
resume: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest property_tests/test_lightning_resume_laws.py tests/adapters/test_lightning_resume.py -m "slow or not slow" --hypothesis-profile=many --hypothesis-show-statistics

# Index maps against other libraries, which are installed into .cache/peers, each in a folder of its own.
bench-index: env
	$(BIN)/python -m benchmarks.index

bench-loader: env
	$(BIN)/python -m benchmarks.loader

bench-batch: env
	$(BIN)/python -m benchmarks.batch

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
