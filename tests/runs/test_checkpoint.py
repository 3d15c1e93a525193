"""Checkpoints: round trip, damage, foreign files, random generators."""

import pickle
import random

import numpy as np
import pytest
import torch

from depth.runs.checkpoint import (
    CheckpointFacts,
    find_checkpoint,
    load_checkpoint,
    load_resumable,
    load_weights,
    newest_run,
    rng_state,
    save_checkpoint,
    seed_generators,
    set_rng_state,
)
from depth.types import UserError


def test_round_trip_and_previous(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"x": torch.arange(3), "n": 1}, keep_previous=True)
    save_checkpoint(path, {"x": torch.arange(4), "n": 2}, keep_previous=True)
    assert load_checkpoint(path)["n"] == 2 and torch.equal(load_checkpoint(path)["x"], torch.arange(4))
    assert load_checkpoint(tmp_path / "previous.pt")["n"] == 1
    assert sorted(f.name for f in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_damaged_newest_file_falls_back_to_the_one_before(tmp_path, capsys):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for n in (1, 2):
        save_checkpoint(folder / "last.pt", {"n": n, "progress": {"step": n}}, keep_previous=True)
    content = (folder / "last.pt").read_bytes()
    (folder / "last.pt").write_bytes(content[: len(content) // 2])
    path, state = load_resumable(tmp_path)
    assert state["n"] == 1 and path.name == "previous.pt"
    assert "last.pt is damaged" in capsys.readouterr().out
    load_resumable(tmp_path, say=False)
    assert capsys.readouterr().out == ""
    (folder / "previous.pt").unlink()
    with pytest.raises(UserError, match="damaged"):
        load_resumable(tmp_path)


class _Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a checkpoint ran code')",))


def test_a_file_cannot_run_code(tmp_path):
    torch.save({"format": "dejavu-depth/1", "x": _Trap()}, tmp_path / "trap.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(_Trap()))
    for name in ("trap.pt", "raw.pt"):
        with pytest.raises(UserError, match="damaged or not a checkpoint"):
            load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"hello\n" * 100])
def test_what_is_no_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.pt"):
        load_checkpoint(path)


def test_a_foreign_format_and_an_absent_file(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a checkpoint of this project"):
        load_checkpoint(tmp_path / "other.pt")
    with pytest.raises(UserError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "nothing.pt")


def test_weights_of_another_network(tmp_path):
    layer = torch.nn.Linear(3, 4)
    with pytest.raises(UserError) as caught:
        load_weights(layer, torch.nn.Linear(3, 5).state_dict(), "layer", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds another layer than these options build: of its weights, 2 of another size (weight, bias)"
    )
    foreign = {f"stem.{index}": torch.zeros(1) for index in range(3)} | {"bias": layer.bias.data}
    with pytest.raises(UserError, match=r"1 missing \(weight\); 3 unknown \(stem.0, stem.1, ...\)$"):
        load_weights(layer, foreign, "layer", tmp_path)
    with pytest.raises(UserError, match="no table of weights"):
        load_weights(layer, torch.zeros(2), "layer", tmp_path)


def test_random_generators_come_back():
    state = rng_state()
    first = (random.random(), np.random.rand(), torch.rand(1).item())
    set_rng_state(state)
    assert first == (random.random(), np.random.rand(), torch.rand(1).item())


def test_run_and_file_are_found(tmp_path):
    for run in ("old", "new"):
        (tmp_path / run / "checkpoints").mkdir(parents=True)
        save_checkpoint(tmp_path / run / "checkpoints" / "last.pt", {"run": run})
    assert newest_run(tmp_path).name == "new"
    save_checkpoint(tmp_path / "old" / "checkpoints" / "best.pt", {})
    assert newest_run(tmp_path).name == "old"
    with pytest.raises(UserError, match=r"no run .* name one with --load_weights_folder"):
        newest_run(tmp_path / "nowhere")


def checkpoints(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_a_run_gives_its_last_checkpoint_or_its_best(tmp_path):
    run = checkpoints(tmp_path / "run" / "checkpoints", "last.pt", "best.pt", "previous.pt").parent
    assert find_checkpoint(run).name == find_checkpoint(run / "checkpoints").name == "last.pt"
    assert find_checkpoint(run, "best").name == "best.pt"
    assert find_checkpoint(run / "checkpoints" / "best.pt").name == "best.pt"
    killed = checkpoints(tmp_path / "killed", "previous.pt", "best.pt")
    assert find_checkpoint(killed).name == "previous.pt"


def test_a_checkpoint_that_is_not_there_names_the_other_one(tmp_path):
    old, unseen = checkpoints(tmp_path / "old", "best.pt"), checkpoints(tmp_path / "unseen", "last.pt")
    with pytest.raises(UserError, match=r"no last.pt; for its best.pt add --checkpoint_choice best, or name the file"):
        find_checkpoint(old)
    with pytest.raises(UserError, match=r"unseen has no best.pt, .* leave --checkpoint_choice out"):
        find_checkpoint(unseen, "best")
    for choice in ("last", "best"):
        with pytest.raises(UserError, match=r"no checkpoint in .*: expected checkpoints/last.pt or best.pt"):
            find_checkpoint(checkpoints(tmp_path / choice), choice)
    with pytest.raises(UserError, match=r"--checkpoint_choice best chooses in a run, and .*last.pt is a file"):
        find_checkpoint(unseen / "last.pt", "best")


def test_what_a_checkpoint_says_of_itself():
    progress = {"epoch": 3, "step": 360, "best": 0.3}
    last = CheckpointFacts.of({"progress": progress, "objective": {}, "chosen_by": "not of a last one"})
    assert str(last) == "last checkpoint after 3 epochs, 360 steps"
    best = CheckpointFacts.of({"progress": progress, "networks": {}, "chosen_by": "lowest toy score"})
    assert str(best) == "best checkpoint after 3 epochs, 360 steps, chosen by lowest toy score"
    old = CheckpointFacts.of({"progress": progress, "networks": {}})
    assert str(old) == "best checkpoint after 3 epochs, 360 steps, chosen by validation"


@pytest.mark.parametrize("odd", [None, torch.ones(2), {"epoch": torch.ones(1), "step": -1}, {"step": "x"}, [3]])
def test_odd_values_in_a_checkpoint_are_not_facts(odd):
    facts = CheckpointFacts.of({"progress": odd, "networks": {}, "chosen_by": odd})
    assert facts == CheckpointFacts("best", None, None, None)
    assert len(CheckpointFacts.of({"networks": {}, "chosen_by": 10**4 * "x"}).chosen_by) == 200


@pytest.mark.parametrize("damage", [slice(-200, -100), slice(2000, 2001), slice(2500, 4096), slice(0, 4)])
def test_a_flipped_byte_or_a_page_of_zeros_is_noticed(tmp_path, damage):
    """What a loss of power leaves; the archive's checksums must be read and not only written."""
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"x": torch.arange(5000.0)})
    content = bytearray(path.read_bytes())
    content[damage] = bytes(255 - b for b in content[damage])
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path)


def test_half_written_files_of_killed_runs_do_not_add_up(tmp_path):
    (tmp_path / ".last.pt.tmp").write_bytes(b"half")
    save_checkpoint(tmp_path / "last.pt", {})
    assert [f.name for f in tmp_path.iterdir()] == ["last.pt"]


def test_a_new_file_that_does_not_read_back_does_not_replace_the_old(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"n": 1}, keep_previous=True)
    write = torch.save
    monkeypatch.setattr(torch, "save", lambda state, file: write({"other": 1}, file))
    with pytest.raises(UserError, match="the one before it is intact"):
        save_checkpoint(path, {"n": 2}, keep_previous=True)
    assert load_checkpoint(path)["n"] == 1 and [f.name for f in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_without_a_step_cannot_be_resumed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for progress in (None, {}, {"step": "x"}):
        save_checkpoint(tmp_path / "checkpoints" / "last.pt", {"progress": progress})
        with pytest.raises(UserError, match="does not say where its training stood"):
            load_resumable(tmp_path)


def test_seeds_reach_every_library():
    draws = []
    for _ in range(2):
        seed_generators(3)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
