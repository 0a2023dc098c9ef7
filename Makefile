# make run   the main job: a JKO chain on handwritten digits, evaluated and reported
# make test  everything that guards the project;  make test-all  what takes longer, too
# make docs  the site of the pages, in docs/_build/html
# make campaigns  every case of the campaigns, of which make test-all carries out one in so many; hours
# make mutants  changes jko/certify and jko/measure statement by statement: do the tests of values notice?
# make benchmarks DATA=FOLDER  this project beside others, hours; stopped, it goes on with what is missing
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test test-all campaigns mutants docs lint style clean benchmarks benchmarks-install

run: $(READY)
	@$(BIN)/jko train

# compiled modules are kept, whatever the environment says: the tests start many processes, of a thread each;
# types are checked by tests/test_types.py
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --no-loadscope-reorder

test: $(READY) style
	@$(PYTEST) -m "not slow"

test-all: $(READY) style
	@$(PYTEST) --require-outside

campaigns: $(READY)
	@$(PYTEST) --require-outside --whole \
		-k "campaign_of or ends_with_the_same_digest" tests/campaign tests/flows/test_kills.py

# results are kept in mutants/: what neither a statement nor a test has changed is not tried again
mutants: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ".[mutation]"
	@OMP_NUM_THREADS=1 $(BIN)/mutmut run
	@$(BIN)/mutmut results

docs: $(READY)
	@$(BIN)/python -m sphinx -q -W --keep-going docs docs/_build/html
	@echo "docs/_build/html/index.html"

benchmarks: benchmarks-install
	@$(if $(DATA),$(BIN)/python -m benchmarks.tuning --data "$(DATA)")
	@$(BIN)/python -m benchmarks.grid $(if $(DATA),--data "$(DATA)")
	@$(BIN)/python -m benchmarks.tables $(if $(DATA),--data "$(DATA)")

benchmarks-install: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--constraint benchmarks/constraints.txt --editable ".[dev,benchmarks]"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--constraint benchmarks/constraints.txt torchcfm utrees kditransform

lint: $(READY) style
	@$(BIN)/mypy

style: $(READY)
	@$(BIN)/ruff format --check --quiet . || (echo "run: $(BIN)/ruff format ."; exit 1)
	@$(BIN)/ruff check --quiet .

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

clean:
	rm -rf .venv mutants docs/_build .pytest_cache .mypy_cache .ruff_cache build *.egg-info
