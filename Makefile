# `make run` shows the demo shop with its console, `make test` tests everything; both need Python 3.11 or newer only.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PY := $(VENV)/bin/python
HOST ?= 127.0.0.1
PORT ?= 8000
export HOST PORT
# Where it is set, each of the thousand processes that the tests start would compile all code anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run fresh test test-fast soak lint bench bench-console screenshots wheel clean

help:
	@echo "make run [PORT=8000] [HOST=127.0.0.1]  the demo shop, its console and a worker"
	@echo "make fresh       take the demo data away, so that the next make run begins anew; stop the running one before"
	@echo "make test        everything, on SQLite, PostgreSQL, and MariaDB where one answers"
	@echo "make test-fast   without killed processes and the browser, on SQLite"
	@echo "make soak        ten times the kills of make test, on every database: an hour or more"
	@echo "make lint        ruff and mypy"
	@echo "make bench       how fast batches are, as ratios against code written by hand (docs/performance.md)"
	@echo "make bench-console  how fast a log gets to the screen, that nothing is lost, pages with a long past: half an hour"
	@echo "make screenshots the pictures of docs/console.md anew"
	@echo "make wheel       build the package into dist/"
	@echo "make clean       remove the virtual environment, the demo data and what was built"

run: $(VENV)/.run-installed
	@$(PY) -m console.site.serve

fresh:
	rm -rf var

test: $(VENV)/.test-installed
	@$(PY) -m tests.everywhere $(TEST_OPTIONS)

test-fast: $(VENV)/.test-installed
	@$(PY) -m pytest -n 2 -m "not lifecycle and not browser and not site and not slow"

soak: $(VENV)/.test-installed
	@for database in sqlite postgresql mariadb; do \
		TEST_KILLS=1000 TEST_ROWS=200000 TEST_DB=$$database $(PY) -m pytest -m lifecycle -k "killed or kills" || exit 1; \
	done

lint: $(VENV)/.test-installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.test-installed
	@for database in sqlite postgresql; do \
		TEST_DB=$$database $(PY) -m benchmarks.batches --long && TEST_DB=$$database $(PY) -m benchmarks.bulk && \
		TEST_DB=$$database $(PY) -m benchmarks.sizing || exit 1; \
	done

bench-console: $(VENV)/.test-installed
	@$(PY) -m benchmarks.console_stream
	@$(PY) -m benchmarks.console_viewer
	@for database in sqlite postgresql; do \
		TEST_DB=$$database $(PY) -m benchmarks.console_pages || exit 1; \
	done

screenshots: $(VENV)/.test-installed
	@$(PY) -m tests.browser.pictures

wheel: $(VENV)/.test-installed
	$(PY) -m build --wheel

clean:
	rm -rf $(VENV) var build dist *.egg-info

# The stamps let a second start go straight on.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-installed: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[site]'
	@touch $@

$(VENV)/.test-installed: pyproject.toml requirements.txt | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@ $(VENV)/.run-installed
