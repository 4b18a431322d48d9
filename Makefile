# Cistern. Everything that is made lies in .venv, build and .cistern.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEED ?= 1

.PHONY: help setup run test lint peers coverage powercut chaos timing fuzz bench firmware lock clean

help:
	@echo "make run       the main job: a receiver and a simulated board, live; Ctrl-C stops, the next run goes on"
	@echo "make test      all tests"
	@echo "make setup     only make $(VENV), with the cistern command in it"
	@echo "make coverage  the branches of the wire that no test takes (there are none)"
	@echo "make powercut  cut the power at 100,000 points of the flash log's life (15 minutes at most)"
	@echo "make chaos     2,000 failures of network, cloud and power: nothing lost, nothing doubled; and a chip whose cloud is away for hours (30 minutes at most)"
	@echo "make timing    an hour of board time on a virtual clock: lateness, misses, CPU, beside two rivals"
	@echo "make fuzz      10 minutes of hostile bytes against HTTP/2 and gRPC"
	@echo "make bench     the figures of README and docs, measured here"
	@echo "make firmware BOARD=CISTERN_ESP32 MICROPYTHON=dir   Cistern's own firmware; docs/FIRMWARE.md"
	@echo "make clean     remove $(VENV) and build"

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Cistern needs Python 3.11 or later: make PYTHON=/path/to/python3")'
	@echo "cistern: installing the pinned tools into $(VENV); once, and again when the pins change"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test]'
	@touch $@

run: setup
	@$(BIN)/cistern run

# Servers of others that tests of the wire talk to. Where they cannot be had, those tests say so and
# are skipped; not in CI.
peers:
	@if ! PATH="$$PATH:/usr/sbin" command -v nghttpd >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "cistern: installing nghttp2-server, a peer of the tests"; \
			apt-get update -qq && apt-get install -y -qq nghttp2-server >/dev/null; \
		else \
			echo "cistern: no nghttpd (Debian: nghttp2-server); its tests will be skipped"; \
		fi; \
	fi
	@if ! [ -e /usr/include/mbedtls/ssl.h ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "cistern: installing libmbedtls-dev, for the tests of the firmware's ALPN"; \
			apt-get update -qq && apt-get install -y -qq libmbedtls-dev >/dev/null; \
		else \
			echo "cistern: no mbedTLS (Debian: libmbedtls-dev); tests of the firmware's ALPN will be skipped"; \
		fi; \
	fi

lint: setup
	$(BIN)/ruff check .

test: setup lint peers
	$(BIN)/python -m pytest

# The wire has a test for every branch.
coverage: setup
	$(BIN)/coverage run --branch --source=lib/cistern/net -m pytest -q \
		tests_host/shared/test_hpack.py tests_host/shared/test_h2.py tests_host/shared/test_h2_server.py \
		tests_host/shared/test_grpc.py tests_host/shared/test_channel.py tests_host/test_net_properties.py
	$(BIN)/coverage report --fail-under=100

powercut: setup
	$(BIN)/python tests_host/powercut --seed $(SEED)
	$(BIN)/python tests_host/powercut/process.py --cuts 500 --seed $(SEED)

chaos: setup
	$(BIN)/python tests_host/chaos --seed $(SEED)
	$(BIN)/python tests_host/chaos/configs.py --seed $(SEED) --steps 44
	OUTAGE_HOURS=1 $(BIN)/python -m pytest -q tests_host/test_outages.py

timing: setup
	$(BIN)/python tests_host/timing --seed $(SEED)

fuzz: setup
	$(BIN)/python tests_host/net_fuzz.py 600

bench: setup
	$(BIN)/python tests_host/bench

# By the checkout's own build; says what is missing.
firmware:
	@$(PYTHON) firmware/build.py "$(BOARD)" "$(MICROPYTHON)" "$(VARIANT)"

lock: setup
	$(BIN)/pip freeze --exclude-editable > requirements.lock

clean:
	rm -rf $(VENV) build
