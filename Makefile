# `make up` and `make test` are the two commands; the rest are their parts.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
NODE   := node_modules/.package-lock.json
# Node comes with the environment: the CDK and its CLI find that one first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Closed loops of 1, 2 and 4 callers; arrivals a second.
BENCH_ARGS ?= --concurrency 1,2,4 --rates 1,2,4 --load-requests 20

.PHONY: up app smoke preflight teardown dashboard test in-turn lint unit e2e snapshot audit bench speed openapi clean help

help:           ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# The stamp makes a second run skip the installs; it is written last, so a broken install starts over.
$(READY): requirements.txt requirements-dev.txt generator_app/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== environment: .venv with requirements-dev.txt (the first time only)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(NODE): package-lock.json $(READY)
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

up: $(READY)    ## boot the local cloud, deploy SdG5Stack to it, make a picture, stay up
	@$(PY) -m local_cloud up

app: $(READY)   ## the page in a browser, over what `make up` runs or URL=https://…/v1 KEY=…
	@$(PY) -m generator_app $(if $(URL),--url "$(URL)" --key "$(KEY)")

smoke: $(READY) ## as `make up`, but check the picture and end
	@$(PY) -m local_cloud smoke

# As for the CDK CLI: STACK may be several, CONTEXT is "-c name=value …".
preflight: $(READY) ## whether a deploy to AWS can succeed, of all stacks or STACK=SdG5Stack; reads, never writes
	@$(PY) -m operations preflight $(STACK) $(CONTEXT)

teardown: $(READY) ## what is left on AWS after `npx cdk destroy --all`; REMOVE=app or all takes it away
	@$(PY) -m operations teardown $(if $(REMOVE),--remove $(REMOVE)) $(CONTEXT)

dashboard: $(READY) ## docs/dashboard.png anew, of traffic that is made up
	@$(PY) -m operations dashboard docs/dashboard.png --made-up $(CONTEXT)

lint: $(READY)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/vermin --quiet --target=3.10- --violations --no-parse-comments model_assets \
	  $(addprefix stacks/build_scripts/,cpu_compile.py environment.py retry.py s3_folder.py upload.py)
	@$(VENV)/bin/vermin --quiet --target=3.11- --violations --no-parse-comments app.py api_client.py \
	  stacks lambda local_cloud benchmark operations generator_app tests
	@PYTHONPATH=.:lambda:model_assets $(VENV)/bin/lint-imports

unit: $(READY) $(NODE)
	@$(PY) -m pytest -m 'not full_size and not gpu and not local and not environments'

e2e: $(READY)
	@$(PY) -m pytest -m local

# Three parts side by side, as end to end is mostly waiting: units and templates, and end to end on a
# local cloud each. Their output comes when all are done.
# One thread each for PyTorch: two that spin while they wait for each other take the cores that the
# others need (a bfloat16 compile's test: 16 s so, 210 s otherwise, on 2 busy cores).
test in-turn: export OMP_NUM_THREADS = 1
LATER = $(addprefix tests/local/test_e2e_,batches.py builds.py endpoint.py gallery.py)
# Units that take minutes, after the shorter half of end to end.
LONG = tests/environments tests/unit/test_inf2_compile.py
E2E = $(PY) -m pytest -m local --durations=10 -o cache_dir=.pytest_cache
REST = $(PY) -m pytest -m 'not full_size and not gpu and not local' --durations=10
test: lint $(NODE) ## ruff, mypy, every test: unit, templates, three environments, the local cloud
	@mkdir -p out
	@$(E2E)/e2e-1 $(addprefix --ignore=,$(LATER)) > out/e2e-1.log 2>&1 & first=$$!; \
	{ ended=0; $(E2E)/e2e-2 $(LATER) || ended=1; \
	  $(REST) -o cache_dir=.pytest_cache/long $(LONG) || ended=1; exit $$ended; \
	} > out/e2e-2.log 2>&1 & second=$$!; failed=0; \
	$(REST) $(addprefix --ignore=,$(LONG)) || failed=1; \
	wait $$first || failed=1; wait $$second || failed=1; \
	echo "== beside these, out/e2e-1.log and out/e2e-2.log"; cat out/e2e-[12].log; exit $$failed

in-turn: lint $(NODE) ## as `make test`, but its parts one after another: python -m benchmark speed --only make-test
	@$(REST)
	@$(E2E)/e2e

snapshot: $(READY) ## the reviewed templates anew, after a change that is meant: docs/testing-your-fork.md
	@$(PY) -m pytest -q tests/infrastructure -k as_reviewed --snapshot-update

audit: $(READY) ## what is published against the packages used here; says so where it can't ask
	@PYTHONPATH=.:model_assets $(PY) -m tests.audit

bench: $(READY) ## 100 prompts against every variant deployed to the local cloud, then the report
	@$(PY) -m local_cloud bench $(BENCH_ARGS)

# The CPU's rows take minutes, 8 GB of memory and 8 GB of disk, the GPU's a minute where there is one.
speed: $(READY) ## docs/speed.md anew: ours against the plain way, each as a ratio
	@$(PY) -m benchmark speed $(SPEED_ARGS)

openapi: $(READY) ## docs/openapi.json anew, from the contract
	@PYTHONPATH=lambda:model_assets $(PY) -m front_door.openapi docs/openapi.json

clean:          ## everything that was made here
	rm -rf $(VENV) .envs .local out cdk.out node_modules
