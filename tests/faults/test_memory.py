"""Long runs: `python tests/faults/memory_slope.py` in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_memory_and_open_files_stay_flat_over_2000_steps():
    script = Path(__file__).with_name("memory_slope.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    print(found)
    assert found["steps"] == 2000 and found["mib_per_1000_steps"] < 5 and found["loader_mib_per_1000_steps"] < 5
    assert found["open_files_at_end"] <= found["open_files_at_quarter"] + 2
