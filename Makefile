# Parley's commands; `make` alone lists them. Needs Python 3.11 or later, its venv module and pip.

PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check

# What is installed, by the time of the file: pip runs again only when pyproject.toml has changed.
RUN_STAMP := .venv/.installed-run
DEV_STAMP := .venv/.installed-dev

# The engine's own tests have to cover the engine. Coverage makes tests take half as long again, so
# the other short ones are run with it in `make check` only, and the long ones without: what covers
# stages/ and gateway/ to 90 % are the short ones by themselves.
ENGINE := tests/pipeline tests/property
SPREAD := -n auto --dist worksteal
# Of the other tests as many wait as compute: half as many processes again as there are cores.
WIDER  = -n $(shell $(PYTHON) -c "import os; print(3 * os.cpu_count() // 2)") --dist worksteal
REST   := $(BIN)/$(if $(filter check,$(MAKECMDGOALS)),coverage run,python)

FUZZ         ?= websocket http native openai live rtvi twilio audio container sdp sse chat recognised
FUZZ_SECONDS ?= 60
SOAK         ?= tests/soak/clients.py tests/soak/media.py

.DEFAULT_GOAL := help
.PHONY: help run test check scale soak fuzz lint bench bench-peers clients clean

help: ## list the commands
	@echo "Parley: a realtime gateway for spoken interviews"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  ARGS=\"…\" is handed on. Part of the tests, in seconds and without coverage:"
	@echo "    make test ARGS=tests/pipeline/test_turns.py"
	@echo "    make test ARGS=\"-k breaker\""

run: $(RUN_STAMP) ## install everything and serve on port 8000 (PARLEY_PORT=8009 to change it)
	@exec $(BIN)/parley serve $(ARGS)

test: $(DEV_STAMP) ## run the tests but the long ones (6 min on two cores); pipeline/ is covered to 100 %
ifneq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SPREAD) -m "not slow" $(ENGINE)
	@$(BIN)/coverage combine --quiet
	@echo "pipeline/: 100 % of branches wanted"
	@$(BIN)/coverage report --include='pipeline/*' --fail-under=100
	$(REST) -m pytest $(WIDER) -m "not slow and not realtime" $(ENGINE:%=--ignore=%)
endif

check: test ## the same, covering stages/ and gateway/ to 90 %; then the long ones (50 min in all)
	@$(BIN)/coverage combine --quiet --append
	@echo "stages/ and gateway/: 90 % of branches wanted"
	@$(BIN)/coverage report --include='stages/*,gateway/*' --fail-under=90
	$(BIN)/python -m pytest $(SPREAD) -m "slow and not realtime"
	$(BIN)/python -m pytest -m realtime

scale: $(DEV_STAMP) ## two gateways, Redis and workers with 20 calls: restarted, killed, stopped (SCALE_CALLS=6 for a check)
	$(BIN)/python -m pytest -s tests/scale/gateways.py tests/stages/test_carriers.py $(ARGS)

soak: $(DEV_STAMP) ## clients that misbehave, lips and voice, clients that vanish: 10, 10 and 5 minutes (SOAK_MINUTES=1 for a check)
	$(BIN)/python -m pytest -o faulthandler_timeout=0 $(SOAK) $(ARGS)

fuzz: $(DEV_STAMP) ## feed every codec with made-up input, a minute each (FUZZ_SECONDS=60 FUZZ="http sdp")
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) -e '.[fuzz]'
	@for target in $(FUZZ); do echo "== $$target" && \
		$(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) -max_len=8192 || exit 1; done

lint: $(DEV_STAMP) ## check style, types and which package may import which (1 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV_STAMP) ## measure latency, load and word error rates on this machine
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: $(DEV_STAMP) ## measure beside Pipecat and LiveKit Agents, which it installs (2.5 h; ARGS=--quick: 8 min)
	$(BIN)/python -m benchmarks.peers $(ARGS)

clients: $(DEV_STAMP) ## pack the clients for Python and JavaScript into dist/
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir dist ./clients/python
	@$(BIN)/python clients/js/pack.py dist
	@ls dist

clean: ## delete what these commands made, except var/ (stored sessions)
	rm -rf .venv build dist *.egg-info clients/python/build clients/python/*.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis benchmarks/.envs
	find pipeline stages gateway benchmarks clients examples fixtures tests -name __pycache__ -prune -exec rm -rf {} +

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[offline,whisper,noise,redis,webrtc,avatar,otel,jwt]'
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	$(PIP) -e '.[offline,whisper,noise,redis,webrtc,avatar,otel,jwt,dev]'
	@touch $(RUN_STAMP) $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "No $(PYTHON) here. On Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Parley needs Python 3.11 or later; $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; \
		echo "Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
