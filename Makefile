# Needs only GNU make and CPython 3.11 or newer. `make` alone lists the targets.

VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PIP := -m pip --disable-pip-version-check --no-input

# The first one that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python; do \
	$$name -c "$(IS_GOOD)" 2>/dev/null && echo $$name && break; done)
IS_GOOD := import sys, ensurepip, venv; \
	sys.exit(sys.implementation.name != 'cpython' or sys.version_info < (3, 11))

# A stamp says which set of pinned packages is installed. It holds the checkout's path, since a
# moved checkout has to be installed again, and it is written last, so that an interrupted setup
# is simply repeated.
RUN_STAMP := $(VENV)/installed-run
DEV_STAMP := $(VENV)/installed-dev
BENCH_STAMP := $(BENCH_VENV)/installed
is_stale = $(if $(wildcard $(dir $(1))bin/python),$(shell \
	grep -qsxF "$(CURDIR)" $(1) || echo stale),stale)
$(foreach stamp,$(RUN_STAMP) $(DEV_STAMP) $(BENCH_STAMP),\
	$(if $(call is_stale,$(stamp)),$(shell rm -f $(stamp))))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUN_STAMP) ## set up once, then serve; PORT=9000 make run chooses the port
	@exec $(BIN)/xwe run

.PHONY: demo
demo: $(RUN_STAMP) ## see in half a minute what xwe changes, measured here
	@exec $(BIN)/xwe demo

# Several files at once, each in one process: the tests spend much of their time waiting.
ALL_TESTS := -n 3 --dist loadfile

.PHONY: test
test: $(DEV_STAMP) ## all tests; ARGS="-k stream" selects some
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(ALL_TESTS))

.PHONY: lint
lint: $(DEV_STAMP) ## format, style, types and floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint test ## everything that CI runs

.PHONY: fix
fix: $(DEV_STAMP) ## format, fix what can be fixed, rewrite .env.example and docs/settings.md
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/xwe config --example > .env.example
	$(BIN)/xwe config --table > docs/settings.md

.PHONY: bench
bench: $(BENCH_STAMP) ## measure xwe against its peers; writes bench/RESULTS.md
	$(BENCH_VENV)/bin/python bench/run.py $(ARGS)

.PHONY: drill
drill: $(DEV_STAMP) ## kill the server fifty times under ten writers, and count the losses
	$(BIN)/python bench/drills/crash.py $(ARGS)

.PHONY: lock
lock: ## resolve the dependencies again (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/"; exit 1; }
	$(LOCK) --group build -o requirements/run.lock
	$(LOCK) --group build --group dev -o requirements/dev.lock
	$(LOCK) --group build --group bench -o requirements/bench.lock

# With the SDK, because LLM_TRANSPORT=openai is one of the application's settings.
LOCK := uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	--python-version 3.11 --extra app --extra openai pyproject.toml

# $(call install,ENVIRONMENT,LOCK): the pinned packages and nothing else, then xwe itself, which
# needs no download since the lock holds its build tools. "compat" puts the checkout on the path;
# the other kind of editable install adds 14 ms to every start of Python.
define install
	@test -n "$(PYTHON)" || { echo "xwe needs CPython 3.11 or newer, with venv (on Debian: apt-get \
	install python3 python3-venv). PYTHON=/path/to/python make ... uses another one."; exit 1; }
	@echo "xwe: installing $(2) into $(1), once ..."
	@$(1)/bin/python $(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python $(PIP) install -qq --require-hashes -r $(2)
	@$(1)/bin/python $(PIP) install -qq --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
endef

$(RUN_STAMP): requirements/run.lock pyproject.toml
	$(call install,$(VENV),$<)
	@echo "$(CURDIR)" > $@

# Includes the other set.
$(DEV_STAMP): requirements/dev.lock pyproject.toml
	$(call install,$(VENV),$<)
	@echo "$(CURDIR)" > $(RUN_STAMP)
	@echo "$(CURDIR)" > $@

$(BENCH_STAMP): requirements/bench.lock pyproject.toml
	$(call install,$(BENCH_VENV),$<)
	@echo "$(CURDIR)" > $@
