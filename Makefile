# Everything runs in .venv, which is made on first use and reused. Needs Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export HF_HUB_OFFLINE ?= 1
# Tests run side by side: threads of several processes that wait for each other spin in each other's way.
# Compiled test files are kept also where the environment says otherwise: compiling them takes each process 5 s.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: help install system demo test test-fast soak lint release interop interop-resolve bench bench-train bench-search bench-search-peers clean

help:
	@echo "make install    the environment alone, in $(VENV)"
	@echo "make system     chromium for the tests of pages, ip for those of several nodes (where root and apt are there)"
	@echo "make demo       the main job on this machine's own docstrings, in under ten minutes"
	@echo "make test       all tests (make test-fast leaves the slow ones out)"
	@echo "make soak       prepare, train and an index killed at random moments, TARDIF_KILLS times each; files damaged, TARDIF_DAMAGES times"
	@echo "make lint       ruff and mypy"
	@echo "make release    builds wheel and source archive, checks them, and runs README's example from the wheel"
	@echo "make interop    checkpoints against PyLate and colbert-ai, in environments of their own (3 GB)"
	@echo "make bench      the benchmarks; figures are in benchmarks/RESULTS.md"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "==> Making the environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "==> Installing Tardif with the versions in constraints.txt"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[train,offline,documents,excel,lora,langchain,llama-index,haystack,collections,serve,cluster,qdrant,dev]"
	@touch $(STAMP)

# The tests of pages drive Debian's chromium; those of several nodes join network namespaces with ip. Where they cannot
# be installed, these tests are skipped with the reason.
system:
	@if ! { command -v chromium && command -v ip; } >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "==> Installing chromium for the tests of pages, and ip for those of several nodes"; \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends iproute2 chromium fonts-dejavu-core; } \
			>/dev/null || echo "they cannot be installed here: these tests are skipped"; \
	fi

demo: $(STAMP)
	@echo "==> Running the demo"
	$(BIN)/tardif demo --out tardif-demo

test: $(STAMP)
	@echo "==> Running the fast tests, then the slow ones"
	$(SIDE_BY_SIDE) $(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal
	$(SIDE_BY_SIDE) $(BIN)/python -m pytest -m slow -n auto --dist loadgroup --no-loadscope-reorder --durations=40

test-fast: $(STAMP)
	@echo "==> Running the fast tests"
	$(SIDE_BY_SIDE) $(BIN)/python -m pytest -m "not slow" -n auto --dist worksteal

soak: $(STAMP)
	@echo "==> Killing and resuming at random moments"
	TARDIF_LOAD_SECONDS=60 TARDIF_KILLS=$(or $(TARDIF_KILLS),30) $(BIN)/python -m pytest tests/slow/test_killed.py tests/slow/test_resume_killed.py \
		tests/slow/test_index_killed.py tests/slow/test_index_load.py
	@echo "==> Asking a service for everything that its schema allows and forbids"
	TARDIF_EXAMPLES=$(or $(TARDIF_EXAMPLES),300) $(SIDE_BY_SIDE) $(BIN)/python -m pytest tests/slow/test_serve_schema.py
	@echo "==> Damaging every file of an index, a checkpoint and an interrupted run"
	TARDIF_DAMAGES=$(or $(TARDIF_DAMAGES),2000) $(SIDE_BY_SIDE) $(BIN)/python -m pytest -s tests/slow/test_attack.py

lint: $(STAMP)
	@echo "==> Checking style"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "==> Checking types"
	$(BIN)/mypy

release: $(STAMP)
	@echo "==> Building and checking what is published"
	$(BIN)/python tools/check_release.py

# uv reads metadata alone: seconds where pip takes minutes.
interop-resolve: $(STAMP)
	@echo "==> Resolving Tardif beside the packages that people use with it"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet "uv==0.13.9"
	$(BIN)/python tools/interop_resolve.py

# PyLate pins sentence-transformers 5.3 and, for an index that is not needed here, another torch; colbert-ai needs
# transformers 4. Neither is imported with the index libraries that it names, so their own dependencies are left out.
# --no-compile: most of the time went into compiling modules that are never imported.
.venv-pylate/.installed: Makefile
	@echo "==> Making an environment for PyLate"
	$(PYTHON) -m venv .venv-pylate
	.venv-pylate/bin/python -m pip install --disable-pip-version-check --quiet --no-compile "torch==2.13.0" "sentence-transformers==5.3.0" \
		"transformers==5.3.0" "ujson==5.12.0" datasets accelerate pandas
	.venv-pylate/bin/python -m pip install --disable-pip-version-check --quiet --no-compile --no-deps "pylate==1.6.0"
	@touch $@

.venv-colbert/.installed: Makefile
	@echo "==> Making an environment for colbert-ai"
	$(PYTHON) -m venv .venv-colbert
	.venv-colbert/bin/python -m pip install --disable-pip-version-check --quiet --no-compile "torch==2.13.0" "transformers==4.49.0" \
		"numpy<2.3" safetensors ujson GitPython python-dotenv ninja scipy tqdm flask datasets
	.venv-colbert/bin/python -m pip install --disable-pip-version-check --quiet --no-compile --no-deps "colbert-ai==0.2.22"
	@touch $@

interop: $(STAMP) interop-resolve .venv-pylate/.installed .venv-colbert/.installed
	@echo "==> Comparing token vectors and scores"
	$(BIN)/python tools/interop.py --pylate $(CURDIR)/.venv-pylate/bin/python --colbert $(CURDIR)/.venv-colbert/bin/python

bench: bench-train bench-search

ARCHIVES := $(or $(TARDIF_DATA),../shared/data)
BENCH_WORK ?= $(HOME)/.cache/tardif-bench

bench-search: $(STAMP)
	@echo "==> Searching (the first time encodes two collections: half an hour on two cores)"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt colbandit==0.1.0 maxsim-cpu==0.1.0
	$(BIN)/python benchmarks/search.py --data $(ARCHIVES) --work $(BENCH_WORK) --plot benchmarks/growth.png

bench-search-peers: $(STAMP)
	@echo "==> Searching with fast-plaid, in an environment with the torch that it needs (gigabytes)"
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --disable-pip-version-check --quiet fast-plaid
	$(BIN)/python benchmarks/search.py export --data $(ARCHIVES) --work $(BENCH_WORK)
	OMP_NUM_THREADS=1 .venv-peers/bin/python benchmarks/search_peers.py --work $(BENCH_WORK)

bench-train: $(STAMP)
	@echo "==> Training, against sentence-transformers"
	$(BIN)/python benchmarks/train.py --data $(ARCHIVES)/medquad.tar.gz

clean:
	rm -rf $(VENV) .venv-peers .venv-pylate .venv-colbert .mypy_cache .ruff_cache .pytest_cache tardif-demo
