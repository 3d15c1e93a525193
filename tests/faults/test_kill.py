"""A run that is killed, told to stop, or finds its checkpoint damaged ends with the weights of one left alone."""

import random
import shutil
import signal
import time

import pytest

from depth.runs.checkpoint import load_checkpoint
from tests.faults.harness import same, weights

STEPS = 120  # of the run that is killed often; 4 are an epoch
MACHINE = ("--device", "cpu", "--num_workers", "1")


def _finish(server, flags, folder):
    job = server.start([*flags, "--model_name", folder.name], folder.with_suffix(".txt"))
    assert job.wait() == 0, job.text
    return job


def _kill_until_done(server, flags, folder, moment, most, found):
    """Starts and resumes a run, killing it at random moments; the number of kills until it came to its end."""
    cache = ["--cache_dir", folder.parent / "cache"]
    last, previous = (folder / "checkpoints" / name for name in ("last.pt", "previous.pt"))
    for kills in range(most + 1):
        if last.exists() or previous.exists():
            arguments = ["--resume", folder, *MACHINE, *cache]
        else:
            shutil.rmtree(folder, ignore_errors=True)
            arguments = [*flags, "--model_name", folder.name]
        before = _step(last)
        job = server.start(arguments, folder.with_suffix(".txt"))
        if kills == most:
            assert job.wait() == 0, job.text
            return kills
        if moment.random() < 0.2:  # in the start, or wherever that is
            time.sleep(moment.uniform(0.2, 3))
        else:
            goal = before + moment.randint(1, 6)
            job.wait_for(lambda goal=goal: _step(last) >= min(goal, STEPS))
            time.sleep(moment.uniform(0, 0.15))
        code = job.kill()
        assert code in (0, -signal.SIGKILL), job.text
        if code == 0:
            return kills
        found.append((_step(last), last.with_name(".last.pt.tmp").exists()))
    raise AssertionError


def test_killed_twice_and_resumed_equals_uninterrupted(server, flags, whole, tmp_path):
    folder = tmp_path / "parts"
    job = server.start([*flags, "--model_name", "parts"], tmp_path / "parts.txt")
    for step in (3, 8):
        events = folder / "checkpoints" / "last.pt"
        job.wait_for(lambda step=step, events=events: events.exists() and _step(events) >= step)
        job.kill()
        job = server.start(["--resume", folder, *MACHINE, "--cache_dir", tmp_path / "cache"], tmp_path / "parts.txt")
    assert job.wait() == 0, job.text
    assert same(weights(folder), whole)


def _step(path):
    try:
        return load_checkpoint(path)["progress"]["step"]
    except Exception:
        return -1


@pytest.mark.long
def test_kill_9_at_twenty_random_moments(server, flags, tmp_path):
    flags = [*flags, "--num_epochs", STEPS // 4]
    _finish(server, flags, tmp_path / "whole")
    whole = weights(tmp_path / "whole")
    kills, rounds, moment, found = 0, 0, random.Random(5), []
    while kills < 20:
        folder = tmp_path / f"parts{rounds}"
        kills += _kill_until_done(server, flags, folder, moment, 20 - kills, found)
        assert same(weights(folder), whole)
        rounds += 1
    steps, saving = [step for step, _ in found], sum(half_written for _, half_written in found)
    print(f"{kills} kills in {rounds} runs of {STEPS} steps, {saving} while saving, after steps {steps}")
    assert kills == len(found) == 20 and len(set(steps)) >= 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_tells_how_to_go_on(server, flags, whole, tmp_path, number):
    folder = tmp_path / "parts"
    job = server.start([*flags, "--model_name", "parts", "--checkpoint_minutes", 60], tmp_path / "parts.txt")
    job.wait_for((folder / "checkpoints" / "last.pt").exists)  # written first of all, by a loop that minds signals
    job.signal(number)
    code = job.wait()
    if code == 0:
        pytest.skip("the run was over before the signal")
    assert code == 130, job.text
    assert f"go on with: python train.py --resume {folder} --cache_dir {tmp_path / 'cache'} --num_workers 1" in job.text
    assert "Traceback" not in job.text
    again = server.start(["--resume", folder, *MACHINE, "--cache_dir", tmp_path / "cache"], tmp_path / "again.txt")
    assert again.wait() == 0, again.text
    assert same(weights(folder), whole)


def test_a_damaged_newest_checkpoint_costs_one_interval(server, flags, whole, tmp_path):
    folder = tmp_path / "parts"
    _finish(server, [*flags, "--max_steps", 4], folder)
    last = folder / "checkpoints" / "last.pt"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    job = server.start(
        ["--resume", folder, *MACHINE, "--max_steps", 1000, "--cache_dir", tmp_path / "cache"], tmp_path / "again.txt"
    )
    assert job.wait() == 0, job.text
    assert "last.pt is damaged" in job.text and "going on from the one before it" in job.text
    assert same(weights(folder), whole)
