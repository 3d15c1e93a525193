import pytest

from tests.tiny_run import save_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A run whose networks have learnt nothing; it is only read."""
    return save_run(tmp_path_factory.mktemp("runs") / "run")
