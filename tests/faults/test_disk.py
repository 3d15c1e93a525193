"""A full disk, a folder that cannot be written, loader processes that die: one line each, and the run is intact."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from depth.runs.checkpoint import load_checkpoint, save_checkpoint
from depth.training.monitor import Monitor
from depth.types import UserError
from tests.faults.harness import run_together, same, weights

FILLING = """
import resource, sys, torch
from pathlib import Path
from depth.runs.checkpoint import save_checkpoint
from depth.types import UserError
path = Path(sys.argv[1]) / "last.pt"
for n in (1, 2):
    save_checkpoint(path, dict(n=n, x=torch.zeros(1000)), keep_previous=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_checkpoint(path, dict(n=3, x=torch.zeros(100_000)), keep_previous=True)
except UserError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_checkpoints_intact(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (said,) = run_together([["-c", FILLING, folder]], tmp_path)
    assert said.code == 0, said.text
    assert said.text.count("\n") == 1 and "(File too large); the one before it is intact" in said.text
    assert load_checkpoint(folder / "last.pt")["n"] == 2 and load_checkpoint(folder / "previous.pt")["n"] == 1
    assert sorted(path.name for path in folder.iterdir()) == ["last.pt", "previous.pt"]


def test_a_full_disk_while_training_names_the_file_and_the_run_goes_on_later(server, flags, whole, tmp_path):
    """No file may grow beyond a little more than a checkpoint of these networks; the pictures do."""
    folder = tmp_path / "run"
    arguments = [*flags, "--model_name", "run", "--num_workers", 0]
    job = server.start(arguments, tmp_path / "run.txt", file_limit=70_000)
    assert job.wait() == 2, job.text
    last = job.text.strip().splitlines()[-1]
    assert last.startswith("error: ") and "cannot be written" in last and "File too large" in last, job.text
    saved = load_checkpoint(folder / "checkpoints" / "last.pt")["progress"]["step"]
    machine = ["--device", "cpu", "--num_workers", 1, "--cache_dir", tmp_path / "cache"]
    again = server.start(["--resume", folder, *machine], tmp_path / "again.txt")
    assert again.wait() == 0, again.text
    assert 0 < saved < 12 and same(weights(folder), whole)


def test_no_room_in_shared_memory_is_one_line_and_the_run_ends(server, flags, tmp_path):
    """The limit counts for the shared memory of loader processes too."""
    job = server.start([*flags, "--model_name", "run"], tmp_path / "run.txt", file_limit=40_000)
    assert job.wait() == 2, job.text
    last = job.text.strip().splitlines()[-1]
    assert last.startswith("error: no room in shared memory (/dev/shm)") and "Traceback" not in job.text


def _tmpfs(folder, size):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True, timeout=60).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")


def test_a_file_system_without_room(tmp_path):
    folder = tmp_path / "small"
    _tmpfs(folder, "200k")
    try:
        save_checkpoint(folder / "last.pt", {"n": 1, "x": torch.zeros(10_000)}, keep_previous=True)
        with pytest.raises(UserError, match=r"last.pt cannot be written \(.*\); the one before it is intact"):
            for n in range(2, 9):
                save_checkpoint(folder / "last.pt", {"n": n, "x": torch.zeros(10_000 * n)}, keep_previous=True)
        assert load_checkpoint(folder / "last.pt")["n"] > 1
        assert not list(folder.glob(".*"))
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


def test_a_full_disk_under_the_event_file(tmp_path, capfd):
    folder = tmp_path / "small"
    _tmpfs(folder, "100k")
    try:
        monitor = Monitor(folder, "synthetic")
        with pytest.raises(UserError, match="events cannot be written .*checkpoints are intact") as error:
            for step in range(100_000):
                monitor.scalars({"loss/total": 1.0}, step)
        assert "\n" not in str(error.value) and "Traceback" not in capfd.readouterr().err
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


def test_a_log_folder_that_cannot_be_written(server, flags, tmp_path):
    flags[flags.index("--log_dir") + 1] = "/proc/no_runs_here"
    job = server.start(flags, tmp_path / "run.txt")
    assert job.wait() == 2
    assert job.text.strip().splitlines()[-1].startswith("error: run folder /proc/no_runs_here/"), job.text
    assert "Traceback" not in job.text


def test_a_loader_process_that_is_killed(server, flags, tmp_path):
    job = server.start([*flags, "--num_epochs", 500, "--model_name", "run"], tmp_path / "run.txt")
    job.wait_for(lambda: "epoch 1/" in job.text)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert job.wait() == 2, job.text
    assert job.text.strip().splitlines()[-1].startswith("error: a loader process died"), job.text
    assert "Traceback" not in job.text
    load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")


@pytest.mark.parametrize("damage", ["cut off", "gone"])
def test_a_bad_frame_stops_with_its_name(server, flags, world, tmp_path, damage):
    job, frame = _damage_while_training(server, flags, world, tmp_path, damage)
    last = job.text.strip().splitlines()[-1]
    assert last.startswith("error: ") and frame.name in last and "Traceback" not in job.text


def test_bad_frames_are_skipped_up_to_one_percent(server, flags, world, tmp_path):
    """Of 8 samples 6 need a frame, so it is skipped with its name, and then there are too many."""
    job, frame = _damage_while_training(server, [*flags, "--on_bad_sample", "skip"], world, tmp_path, "cut off")
    assert "skipped a bad sample" in job.text and frame.name in job.text
    # Not the last line always: a loader process that reads ahead may name one more sample meanwhile.
    (last,) = [line for line in job.text.splitlines() if line.startswith("error: ")]
    assert "bad samples in one epoch are more than 1 %" in last and "Traceback" not in job.text


def _damage_while_training(server, flags, world, tmp_path, damage):
    """Damages a frame of a running training, which must end by itself; the job and the frame."""
    copy = tmp_path / "world"
    shutil.copytree(world, copy)
    drive = (copy / "splits" / "train.txt").read_text().split()[0]
    frame = sorted((copy / drive / "image_02" / "data").iterdir())[2]
    flags = [copy if flag == world else flag for flag in flags]
    job = server.start([*flags, "--num_epochs", 500, "--model_name", "run"], tmp_path / "run.txt")
    job.wait_for(lambda: "epoch 1/" in job.text)
    if damage == "gone":
        frame.unlink()
    else:
        frame.write_bytes(frame.read_bytes()[:100])
    assert job.wait() == 2, job.text
    return job, frame
