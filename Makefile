# `make demo` and `make test` create the environment if it is not there; both may be called again.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: demo test lint gpu-smoke clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -e ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(RUN) train.py --preset demo
	@echo "pictures: runs/<newest>/pictures; TensorBoard: $(VENV)/bin/tensorboard --logdir runs, then http://localhost:6006"
	$(RUN) evaluate_depth.py --eval_split synthetic --eval_mono

test: $(VENV)/.installed
	$(RUN) -m pytest

lint: $(VENV)/.installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

gpu-smoke: $(VENV)/.installed
	$(RUN) benchmarks/gpu_smoke.py

clean:
	rm -rf $(VENV) runs
