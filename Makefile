# make run: the app.  make test: every check.  Both set up what they need.
PYTHON ?= python3
BIN := .venv/bin
HOST ?= localhost
PORT ?= 8501
# A folder of subjects of your own (docs/your-own.md): make run SUBJECTS=folder
ifdef SUBJECTS
export LACUNA_SUBJECTS := $(abspath $(SUBJECTS))
endif
# Further names that the app is served under, as by a proxy (docs/classroom.md): make run HOSTS=lacuna.school.example
ifdef HOSTS
export LACUNA_HOSTS := $(HOSTS)
endif
# Whether visitors may start and stop sweeps and searches: make run HOST=0.0.0.0 STUDIES=yes
ifdef STUDIES
export LACUNA_STUDIES := $(STUDIES)
endif
# Networks of your own, which a subject may name: make run ARCHITECTURES="pkg.mod:build"
ifdef ARCHITECTURES
export LACUNA_ARCHITECTURES := $(ARCHITECTURES)
endif
# Idle threads of OpenMP and OpenBLAS otherwise spin and take the processor from everything else.
export OMP_WAIT_POLICY = passive
export OPENBLAS_NUM_THREADS = 1

.PHONY: run test lint bench load attack paint assets audit screenshots clean

run: .venv/installed
	$(BIN)/streamlit run serve.py --server.address $(HOST) --server.port $(PORT)

# Pages in a process of their own: their browser has a loop of events that other tests need for themselves.
test: .venv/installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/browser --ignore=tests/ui
	$(BIN)/python -m pytest tests/browser tests/ui

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

# Closed tabs, hostile addresses and messages, interleaved visitors; ARGS="leave" for one of them.
attack: .venv/installed-dev
	$(BIN)/python -m tools.attack $(ARGS)

# First paint of each page beside an empty Streamlit page.
paint: .venv/installed-dev
	$(BIN)/python -m tools.paint $(ARGS)

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

.venv/installed-dev: .venv/installed requirements-notebook.txt requirements-dev.txt
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf .venv build
