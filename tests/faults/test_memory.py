"""Long runs: `python tests/faults/memory_slope.py` in a process of its own."""

import json
from pathlib import Path

import pytest

from tests.faults.harness import run_together


@pytest.mark.long
def test_memory_and_open_files_stay_flat_over_2000_steps(tmp_path):
    script = Path(__file__).with_name("memory_slope.py")
    (done,) = run_together([[script, "--steps", 2000]], tmp_path, seconds=3000)
    assert done.code == 0, done.text
    found = json.loads(done.text[done.text.index("{\n") : done.text.rindex("}") + 1])
    print(found)
    assert found["steps"] == 2000 and found["mib_per_1000_steps"] < 5 and found["loader_mib_per_1000_steps"] < 5
    assert found["open_files_at_end"] <= found["open_files_at_quarter"] + 2
