# natsdemo: `make lab` opens the course, `make test` proves it. `make venv` is all the set-up there is.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: lab test slides bench soak compat notebooks lock venv clean

lab: $(READY)
	@$(BIN)/natsdemo lab

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow and not compat"
	$(BIN)/pytest -n 2 --dist loadfile --nbval-lax --nbval-cell-timeout=60 --nbval-sanitize-with tests/sanitize.cfg notebooks

slides: $(READY)
	$(BIN)/natsdemo slides build --pdf

bench: $(READY)
	$(BIN)/pytest --benchmark-only tests/benchmarks

soak: $(READY)
	$(BIN)/pytest -n 2 --dist loadgroup -m slow

compat: $(READY)
	$(BIN)/pytest -n 2 -m compat

notebooks: $(READY)
	$(BIN)/natsdemo run --write
	$(BIN)/python -m natsdemo.cli.notebooks

venv: $(READY)

# Runs again only when what it was made from has changed. Hashes are checked; nothing is resolved here.
$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "natsdemo needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": try `make PYTHON=python3.12`.")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

# Made anew after a change of dependencies in pyproject.toml (needs `uv`, which is no dependency of ours).
lock:
	uv pip compile pyproject.toml --extra lab --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks natsdemo.egg-info
	find . -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
