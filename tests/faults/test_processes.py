"""Several processes: gradients, who writes, whose error is told, restarts, evaluation."""

import json
import signal
import socket
from pathlib import Path

import pytest
import torch

from tests.faults.harness import run_together, same, weights

HERE = Path(__file__).parent
LONG = 1200  # seconds for torchrun, which imports everything three times


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _group(size):
    """What torchrun would put into the environments of `size` processes on this machine."""
    shared = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = str(_free_port())
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]


def _start_pair(server, arguments, name):
    return [
        server.start(arguments, name.with_name(f"{name.name}_rank{rank}.txt"), environment)
        for rank, environment in enumerate(_group(2))
    ]


def _run_plain(arguments, environments, folder):
    ended = run_together([arguments] * len(environments), folder, environments)
    assert all(each.code == 0 for each in ended), ended


def _seed(generators):
    """The seed of a process's PyTorch generator, out of its saved state."""
    generator = torch.Generator()
    generator.set_state(generators["torch"])
    return generator.initial_seed()


@pytest.mark.parametrize("networks", ["small", pytest.param("resnet", marks=pytest.mark.long)])
def test_gradients_of_two_processes_are_those_of_one_with_twice_the_batch(tmp_path, networks):
    script = [HERE / "ddp_gradients.py", "--networks", networks]
    _run_plain([*script, tmp_path / "one.pt", "--batch_size", 4], [{}], tmp_path)
    _run_plain([*script, tmp_path / "two.pt", "--batch_size", 2], _group(2), tmp_path)
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) > 10
    largest = max((one[name] - two[name]).abs().max().item() for name in one)
    print(f"largest difference of a gradient: {largest:.2e}")
    assert largest < 1e-6
    assert max(gradient.abs().max() for gradient in one.values()) > 1e-3


def test_two_processes_train_stop_together_and_resume_exactly(server, flags, tmp_path):
    flags = [*flags, "--batch_size", 1]
    whole = _start_pair(server, [*flags, "--model_name", "whole"], tmp_path / "whole")
    assert [job.wait() for job in whole] == [0, 0], whole[0].text + whole[1].text
    assert whole[1].text == "" and "done:" in whole[0].text
    assert [_seed(state) for state in weights(tmp_path / "whole")["rng"]] == [0, 1]  # edits and noise of their own
    first = _start_pair(server, [*flags, "--model_name", "parts", "--max_steps", 5], tmp_path / "first")
    assert [job.wait() for job in first] == [0, 0], first[0].text + first[1].text
    machine = ["--device", "cpu", "--num_workers", 1, "--cache_dir", tmp_path / "cache"]
    again = ["--resume", tmp_path / "parts", *machine, "--max_steps", 1000]
    second = _start_pair(server, again, tmp_path / "second")
    assert [job.wait() for job in second] == [0, 0], second[0].text + second[1].text
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    alone = server.start(again, tmp_path / "alone.txt")
    assert alone.wait() == 2
    assert "was written by 2 processes" in alone.text and "Traceback" not in alone.text


def test_a_signal_to_one_process_stops_both_after_saving(server, flags, tmp_path):
    arguments = [*flags, "--batch_size", 1, "--num_epochs", 500, "--model_name", "run", "--checkpoint_minutes", 60]
    jobs = _start_pair(server, arguments, tmp_path / "run")
    jobs[0].wait_for(lambda: "epoch 1/" in jobs[0].text)
    jobs[1].signal(signal.SIGTERM)
    assert [job.wait() for job in jobs] == [130, 130], jobs[0].text + jobs[1].text
    assert "go on with: torchrun --nproc_per_node 2 train.py --resume" in jobs[0].text and jobs[1].text == ""


def test_a_failing_process_ends_the_others_and_its_error_is_the_one_told(server, flags, tmp_path):
    arguments = [*flags, "--batch_size", 1, "--num_epochs", 500, "--model_name", "run"]
    jobs = _start_pair(server, arguments, tmp_path / "run")
    jobs[0].wait_for(lambda: "epoch 1/" in jobs[0].text)
    jobs[1].kill()
    assert jobs[0].wait() == 2, jobs[0].text
    last = jobs[0].text.strip().splitlines()[-1]
    assert last == "error: process 0 of 2: another process has ended; its error stands above"
    assert "Traceback" not in jobs[0].text


def _torchrun(options, arguments):
    return ["-m", "torch.distributed.run", *options, *arguments]


def _uninterrupted(server, flags, tmp_path):
    whole = _start_pair(server, [*flags, "--model_name", "whole"], tmp_path / "whole")
    assert [job.wait() for job in whole] == [0, 0], whole[0].text + whole[1].text
    return weights(tmp_path / "whole")


def _killing(tmp_path, rank):
    kill = {"FAULT_KILL_RANK": str(rank), "FAULT_KILL_STEP": "7", "FAULT_KILLED": str(tmp_path / "killed")}
    # Without, restarted processes may find their predecessors' addresses in the agent's store (seen with torch 2.15).
    return kill | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


@pytest.mark.long
def test_torchrun_restarts_a_run_from_its_checkpoint(server, flags, tmp_path):
    """One process of two dies of SIGKILL; torchrun starts both again, and they end with the right weights."""
    flags = [*flags, "--batch_size", 1, "--num_epochs", 3]
    whole = _uninterrupted(server, flags, tmp_path)
    options = ["--nproc_per_node=2", "--max_restarts=1", "--standalone"]
    command = _torchrun(options, [HERE / "killed_train.py", *flags, "--model_name", "parts"])
    (ended,) = run_together([command], tmp_path, [_killing(tmp_path, 1)], LONG)
    assert ended.code == 0 and (tmp_path / "killed").exists(), ended.text
    assert ended.text.count("look: tensorboard") == 2
    assert same(weights(tmp_path / "parts"), whole)


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_two_groups_restart_a_run_from_its_checkpoint(server, flags, tmp_path, rank):
    """As on two machines: two torchruns that meet by rendezvous, one of which loses its process."""
    flags = [*flags, "--batch_size", 1, "--num_epochs", 3]
    whole = _uninterrupted(server, flags, tmp_path)
    options = ["--nnodes=2", "--nproc_per_node=1", "--max_restarts=3", "--rdzv_backend=c10d", "--rdzv_id=faults"]
    options += [f"--rdzv_endpoint=127.0.0.1:{_free_port()}"]
    command = _torchrun(options, [HERE / "killed_train.py", *flags, "--model_name", "parts"])
    ended = run_together([command] * 2, tmp_path, [_killing(tmp_path, rank)] * 2, LONG)
    assert [each.code for each in ended] == [0, 0] and (tmp_path / "killed").exists(), ended[0].text + ended[1].text
    assert sum(each.text.count("done:") for each in ended) == 1
    assert same(weights(tmp_path / "parts"), whole)


@pytest.mark.long
def test_torchrun_shows_the_failing_ranks_error_first(flags, tmp_path):
    options = ["--nproc_per_node=2", "--standalone"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    arguments = [HERE / "small_train.py", *flags, "--batch_size", 1, "--model_name", "taken"]
    (ended,) = run_together([_torchrun(options, arguments)], tmp_path, seconds=LONG)
    assert ended.code != 0
    errors = [line for line in ended.text.splitlines() if line.startswith(("error:", "Traceback"))]
    assert errors[0].startswith("error: process 0 of 2:") and "holds a run already" in errors[0], ended.text


def test_evaluation_by_two_processes_gives_the_same_table(server, flags, world, tmp_path):
    job = server.start([*flags, "--model_name", "run", "--max_steps", 2], tmp_path / "run.txt")
    assert job.wait() == 0, job.text
    common = ["--data_path", world, "--load_weights_folder", tmp_path / "run", "--num_workers", 0, "--device", "cpu"]
    common += ["--cache_dir", tmp_path / "cache", "--batch_size", 2]
    script = [str(HERE / "small_evaluate.py"), *map(str, common), "--eval_out_dir"]
    _run_plain([*script, str(tmp_path / "one")], [{}], tmp_path)
    _run_plain([*script, str(tmp_path / "two")], _group(2), tmp_path)
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    # A share has other batches, and a network rounds with its batch's size.
    assert one["metrics"] == pytest.approx(two["metrics"], rel=1e-6) and one["images"] == two["images"] > 2
    tables = [(tmp_path / name / "metrics.md").read_text().replace(str(tmp_path / name), "") for name in ("one", "two")]
    assert tables[0] == tables[1]
    names = [[row.split(",")[1] for row in (tmp_path / n / "per_image.csv").open()] for n in ("one", "two")]
    assert names[0] == names[1]
