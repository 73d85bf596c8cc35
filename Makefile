# make run: the app.  make test: every check.  Both set up what they need.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= localhost
PORT ?= 8501
# A folder of subjects of your own (docs/your-own.md): make run SUBJECTS=folder
ifdef SUBJECTS
export LACUNA_SUBJECTS := $(abspath $(SUBJECTS))
endif
# Idle OpenMP threads otherwise spin and take the processor from the other sessions.
export OMP_WAIT_POLICY = passive

.PHONY: run test test-pages test-core lint bench load assets audit screenshots clean

run: .venv/installed
	$(BIN)/streamlit run serve.py --server.address $(HOST) --server.port $(PORT)

# In two halves side by side, which takes half the time on two cores.
test: .venv/installed-dev lint
	$(MAKE) --jobs=2 --no-print-directory test-pages test-core

test-pages:
	$(BIN)/python -m pytest tests/browser tests/ui

test-core:
	$(BIN)/python -m pytest --ignore=tests/browser --ignore=tests/ui

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v tsc >/dev/null; then tsc --project .; else echo "tsc is not on PATH: assets/js unchecked"; fi

bench: .venv/installed-dev
	$(BIN)/python -m tools.bench

# Thirty visitors at once for five minutes; ARGS="--sessions 10 30 60 --minutes 2" to look for the limit.
load: .venv/installed-dev
	$(BIN)/python -m tools.load $(ARGS)

assets: .venv/installed
	$(BIN)/python -m unlearn_core.bundle.make_assets

# The verdict on every bundled network and method, as docs/verdict.md.
audit: .venv/installed
	$(BIN)/python -m unlearn_core.bundle.confusion $(ARGS)

screenshots: .venv/installed-dev
	$(BIN)/python -m tools.screenshots

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf .venv build
