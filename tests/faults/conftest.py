import signal

import pytest

from datasets.world.making import WorldSpec, ensure_world
from tests.faults.harness import Server, weights


@pytest.fixture(autouse=True)
def limit(request):
    """No test hangs, whatever it waits for: its own waits have shorter limits, and say what was printed."""
    seconds = 3600 if request.node.get_closest_marker("long") else 900

    def late(_number, _frame):
        raise AssertionError(f"the test took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=6)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


def _flags(world, folder):
    return [
        "--data_path", world, "--cache_dir", folder / "cache", "--log_dir", folder, "--height", 64, "--width", 96,
        "--batch_size", 2, "--num_epochs", 3, "--num_workers", 1, "--device", "cpu", "--checkpoint_minutes", 0,
        "--log_frequency", 1, "--val_samples", 2,
    ]  # fmt: skip


@pytest.fixture
def flags(world, tmp_path):
    """train.py on the small world; runs are tmp_path/NAME."""
    return _flags(world, tmp_path)


@pytest.fixture(scope="session")
def whole(server, world, tmp_path_factory):
    """The outcome of a run with these flags that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    job = server.start([*_flags(world, folder), "--model_name", "run"], folder / "run.txt")
    assert job.wait() == 0, job.text
    return weights(folder / "run")
