# make run        train on the default environment, then compare with the heuristics (ARGS="..." goes to train.py)
# make test       run the tests (ARGS="..." goes to pytest)
# make lint       check style and types
# make docs       build the documentation into site/; every warning is an error
# make benchmark  measure the speed of the environments

PYTHON ?= python3
BIN := .venv/bin

# Every version comes from constraints.txt, that of the build backend too (pip 25.3 and later read the second variable).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: run test lint docs benchmark

run: .venv/train
	$(BIN)/python train.py $(ARGS)

# Two processes; a file stays in one of them, so that its kernels compile once.
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/mypy

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

benchmark: .venv/train
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py $(ARGS)

.venv/%: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "psgym needs Python 3.11 or newer: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable ".[$*]"
	touch $@
