"""A short run of fuzz.py; `python tests/faults/fuzz.py --inputs 100000` is the long one."""

import pytest

from tests.faults.fuzz import TARGETS, fuzz


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_files_raise_nothing_but_user_errors(name):
    outcome = fuzz(name, 60)
    assert outcome["refused"] > 10
