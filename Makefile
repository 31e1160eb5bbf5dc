# Two commands for users: `make demo` and `make test`. Both set up everything they need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
STATIC := backend/microtome/api/static/index.html
FRONTEND := $(shell find frontend/src frontend/public frontend/index.html frontend/package-lock.json frontend/vite.config.ts 2>/dev/null)
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test lint audit format bench build types docs clean

demo: $(STAMP)/app $(STATIC)  ## dissect the built-in models on this machine and open the workbench
	$(BIN)/microtome demo

test: $(STAMP)/dev $(STAMP)/browser $(STATIC) lint  ## everything: lint, types, contracts, unit, API, databases, browser
	cd frontend && npm run --silent test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations 25

lint: $(STAMP)/dev $(STAMP)/frontend  ## ruff, mypy, import contracts, generated files, svelte-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd frontend && npm run --silent types:check && npm run --silent lint
	$(BIN)/python tests/audit.py

audit: $(STAMP)/dev  ## known vulnerabilities of all packages, where the network allows
	-$(PIP) --no-build-isolation -e ".[audit]"
	$(BIN)/python tests/audit.py

format: $(STAMP)/dev $(STAMP)/frontend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cd frontend && npm run --silent format

bench: $(STAMP)/dev  ## side by side with references; writes bench/results/
	for name in dissection interaction cluster text; do $(BIN)/python bench/$$name.py --json > bench/results/$$name.json || exit 1; done

build: $(STAMP)/dev $(STATIC)  ## a wheel with the built frontend inside
	$(BIN)/python -m build --wheel --no-isolation

types: $(STAMP)/dev $(STAMP)/frontend  ## everything that is generated from the code
	$(BIN)/python -m microtome.engine.manifest
	$(BIN)/python -m microtome.api.openapi > frontend/openapi.json
	cd frontend && npm run --silent types

docs: $(STAMP)/dev  ## docs/methods/ from the registry, docs/pictures/ from a running demo
	$(BIN)/python docs/make_methods.py
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf $(VENV) frontend/node_modules backend/microtome/api/static dist build

# torch first and alone: a CPU wheel of this version is taken where one is at hand; resolving it beside others fetches CUDA.
$(STAMP)/app: pyproject.toml constraints.txt hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) hatchling editables setuptools
	$(PIP) --no-build-isolation -e .
	mkdir -p $(STAMP) && touch $@

$(STAMP)/dev: $(STAMP)/app
	$(PIP) --no-build-isolation -e ".[dev,ray]"
	touch $@

$(STAMP)/frontend: frontend/package-lock.json | $(STAMP)/app
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(STATIC): $(STAMP)/frontend $(FRONTEND)
	cd frontend && npm run --silent build
	touch $@

$(STAMP)/browser: $(STAMP)/dev
	sh tests/install_browser.sh $(BIN)/python
	touch $@
