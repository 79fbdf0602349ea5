# Every target but `clean` first creates the environment if it does not exist, with Python 3.11 from a package index.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo docs test slow laws histories resume certificate fuzz chaos soak release-check bench bench-quick bench-report bench-earlier gpu env lint types unit format clean

demo: env
	$(BIN)/python -m bionemo.examples.protein_mlm

# mypy uses one core only, and the tests wait for processes of their own: together they take less time.
test: lint
	$(MAKE) --jobs 2 types unit

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

# Three processes with one thread each: some tests wait for processes of their own, which take the byte code of the first.
unit: env
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist worksteal --durations=10

# The permutation's statistics, machine code of the compiled functions, wheels, runs on two ranks: 15 to 30 minutes.
slow: env
	$(BIN)/python -m pytest --durations=20 -m slow

# A thousand examples per law: about an hour.
laws: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 property_tests --hypothesis-profile=more

# Ten thousand histories of stops and resumes.
histories: env
	$(BIN)/python -m pytest property_tests/test_pipeline_laws.py --hypothesis-profile=many -k history_of_worlds

# Statistical tests of shuffles, draws and masks, ours and others', into docs/certificate.md: 7 to 20 minutes on two
# cores; ARGS=--quick takes less than one, ARGS=--page writes the page again from the last results.
certificate: env
	$(BIN)/python -m benchmarks.certificate $(ARGS)

# Thousands of Lightning runs that are stopped, saved and resumed, each compared with an uninterrupted run.
resume: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest property_tests/test_lightning_resume_laws.py tests/adapters/test_lightning_resume.py -m "slow or not slow" --hypothesis-profile=many --hypothesis-show-statistics

# A million calls of public functions and records with strange arguments, in two processes: 12 to 30 minutes.
SEED ?= 1
fuzz: COUNT ?= 1000000
fuzz: env
	$(BIN)/python -m tests.fuzzing --everywhere
	$(BIN)/python -m tests.fuzzing --seed $(SEED) --count $(COUNT)

# Training runs that 200 faults hit at random moments, restarted until they end: 20 to 30 minutes.
# make chaos SEED=7 COUNT=20, and ARGS='--only 3' for one history
chaos: COUNT ?= 200
chaos: env
	$(BIN)/python -m tests.chaos --seed $(SEED) --count $(COUNT) $(ARGS)

# The release checklist: wheel and sdist, lowest and newest dependencies, types for users: 10 to 20 minutes.
release-check: env
	$(BIN)/python -m tests.release

# 10**8 samples through loaders: memory, descriptors and threads must not grow. ARGS='--samples 1000000' for less.
soak: env
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.soak $(ARGS)

# Benchmarks against other libraries, which are installed into .cache/peers, each in a folder of its own: 20 to 30
# minutes. They write docs/benchmarks.md. With ARGS="loaders packing" only those, printed.
bench: env
	$(BIN)/python -m benchmarks $(ARGS)

# The most important rows, smaller and with fewer rounds, printed: less than three minutes.
bench-quick: env
	$(BIN)/python -m benchmarks --quick $(ARGS)

# The page docs/benchmarks.md again, from the results of the last `make bench`.
bench-report: env
	$(BIN)/python -m benchmarks report

# What needs a GPU: the tests that compare it with the CPU, and how fast one core feeds it.
gpu: env
	$(BIN)/python -m pytest -m gpu tests --no-header -q
	$(BIN)/python -m benchmarks.gpu

# This version against an earlier commit, both in one run: make bench-earlier COMMIT=ceec26a
bench-earlier: env
	$(BIN)/python -m benchmarks.earlier $(COMMIT)

# The site, from docs/, notebooks/ and docstrings, at http://localhost:8000. ARGS=--dev-addr=0.0.0.0:8000 shows it to others.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve $(ARGS)

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
