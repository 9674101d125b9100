# Two commands matter: `make demo` and `make test`. Both build .venv first and need only python3 >= 3.11.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo install test lint fuzz bench bench-smoke bench-peers bench-translate bench-relay bench-lists soak-kill clean

help:
	@echo 'make demo             serve http://127.0.0.1:3000 with a built-in model: no key, no network'
	@echo 'make test             lint, types and the whole test suite'
	@echo 'make install          only create $(VENV) with the deltawire command in it'
	@echo 'make fuzz             a long run of every fuzz target (FUZZ_EXAMPLES=100000)'
	@echo 'make soak-kill        1,000 kills of a writer: nothing it said it had kept may be lost (a minute)'
	@echo 'make bench            the gateway beside nginx, LiteLLM and Portkey: latency, CPU, memory (12 minutes)'
	@echo 'make bench-smoke      the same in small, without the peers from registries (under a minute)'
	@echo 'make bench-translate  nanoseconds per frame, no sockets'
	@echo 'make bench-relay      added latency and CPU per token, loop against tap'
	@echo 'make bench-lists      milliseconds per page of a list, short and long, and commits per second'

$(VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "deltawire needs Python 3.11 or newer; try: make PYTHON=python3.12 demo")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'python3 cannot make a virtual environment (on Debian: apt-get install python3-venv)'; exit 1; }
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $@

install: $(VENV)/.installed

demo: install
	@exec $(BIN)/deltawire demo

lint: $(VENV)/.tested
	$(BIN)/ruff check proxy translators tests bench examples
	$(BIN)/ruff format --check proxy translators tests bench examples
	$(BIN)/mypy

# Five suites at once, for most tests wait: those that only compute (every cut of every wire apart, which reaches no
# new line and is quicker uncounted), the end-to-end tests on one loop and on all others, and the rest. Each tells its
# story when all have ended, the last one as it goes.
COMPUTING := $(addprefix tests/,fuzz framing surfaces translators upstreams)
CUTS := fuzz or every_split or cut_after or byte_by_byte or random_cuts or linear
COUNTED := $(BIN)/coverage run -m pytest
test: lint
	$(BIN)/coverage erase
	@told=$$(mktemp -d); \
		nice $(COUNTED) $(COMPUTING) --timeout=120 -k 'not ($(CUTS))' > $$told/computing 2>&1 & computing=$$!; \
		nice $(BIN)/pytest $(COMPUTING) --timeout=120 -k '$(CUTS)' > $$told/cuts 2>&1 & cuts=$$!; \
		$(COUNTED) $(addprefix --ignore=,tests/e2e $(COMPUTING)) > $$told/others 2>&1 & others=$$!; \
		$(BIN)/pytest tests/e2e -k uvloop > $$told/uvloop 2>&1 & uvloop=$$!; \
		$(BIN)/pytest tests/e2e -k 'not uvloop'; failed=$$?; \
		for suite in $$computing $$cuts $$others $$uvloop; do wait $$suite || failed=1; done; \
		cat $$told/computing $$told/cuts $$told/others $$told/uvloop; rm -r $$told; exit $$failed
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include='translators/*' --fail-under=100
	$(BIN)/coverage report --include='proxy/*' --fail-under=90

fuzz: $(VENV)/.tested
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100000} $(BIN)/pytest tests/fuzz --timeout=3600

bench: $(VENV)/.tested bench-peers
	$(BIN)/python -m bench --out bench

bench-smoke: $(VENV)/.tested
	$(BIN)/python -m bench --quick --only direct,nginx,deltawire > /dev/null

# What cannot be installed is missing from the results by name, so nothing here may stop the bench.
PEERS := .cache/peers
bench-peers:
	@command -v nginx /usr/sbin/nginx > /dev/null || echo 'nginx is missing (Debian: apt-get install nginx-light)'
	@test -x $(PEERS)/litellm/bin/litellm \
		|| { $(PYTHON) -m venv $(PEERS)/litellm && $(PEERS)/litellm/bin/pip install -q 'litellm[proxy]'; } \
		|| echo 'LiteLLM is missing: it could not be installed'
	@test -d $(PEERS)/portkey/node_modules/@portkey-ai \
		|| { mkdir -p $(PEERS)/portkey && cp bench/peers/package.json $(PEERS)/portkey/ \
			&& npm install --prefix $(PEERS)/portkey --ignore-scripts --no-audit --no-fund; } \
		|| echo 'Portkey is missing: it could not be installed'

bench-translate: $(VENV)/.tested
	$(BIN)/python -m bench.translate

bench-relay: $(VENV)/.tested
	$(BIN)/python -m bench.relay

bench-lists: $(VENV)/.tested
	$(BIN)/python -m bench.lists

KILLS ?= 1000
soak-kill: $(VENV)/.tested
	@folder=$$(mktemp -d); $(BIN)/python -m tests.isolated.kill_store $$folder/data $(KILLS); failed=$$?; \
		rm -r $$folder; exit $$failed

clean:
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache
