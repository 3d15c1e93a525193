"""A run of an older version: its shape as a small JSON file, a run folder made of that, and what it comes to.

    git worktree add ../old REVISION
    python tests/runs/old_run.py ../old tests/runs/run_of_first_layout.json

trains with that revision, keeps of the checkpoints every name, type and size and of the tensors no value (see `fill`),
makes the run folder again from that, and writes beside it what the revision's commands make of it. test_old_run.py
asks this version for the same.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kitti_layout import DRIVE, HEIGHT, WIDTH, write_raw, write_scan  # noqa: E402

TRAINING = (
    "--data_path data --split split --height 64 --width 96 --depth_net packnet_slim --weights_init scratch --dejavu "
    "--batch_size 2 --num_workers 0 --device cpu --max_steps 2 --log_frequency 1 --val_samples 1 --model_name run"
)
CHECKPOINTS = ("best", "last")
PARTS = ("depth_net", "pose_net", "dejavu")


def write_data(folder: Path) -> None:
    """Six frames by both cameras in KITTI's raw layout, scans of two, and a split: folder/data and folder/split."""
    write_raw(folder / "data", range(6))
    rng = np.random.default_rng(0)
    for frame in (2, 3):
        points = rng.uniform((4, -4, -1.5), (40, 4, 0.5), (300, 3))
        write_scan(folder / "data", frame, [tuple(point) for point in points])
    (folder / "split").mkdir()
    for part, frames in (("train", "1-4"), ("val", "2"), ("test", "2-3")):
        (folder / "split" / f"{part}.txt").write_text(f"{DRIVE} l {frames}\n")


def command(checkout: Path, folder: Path, line: str) -> None:
    """One of the checkout's commands, called in the folder."""
    name, *flags = line.split()
    done = subprocess.run([sys.executable, str(checkout / name), *flags], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def outline(value: Any) -> Any:
    """A checkpoint's content as JSON: a tensor is "type<AxBxC>", float32 where no type is said, and a long list of
    integers is how many there are, counted from 0 or a generator's state."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.").replace("float32", "")
        return f"{kind}<{'x'.join(map(str, value.shape))}>"
    if isinstance(value, dict):
        inner = {key: outline(each) for key, each in value.items()}
        return inner if all(isinstance(key, str) for key in value) else {"#": [[*pair] for pair in inner.items()]}
    if isinstance(value, list | tuple):
        if len(value) > 100:
            return {"counted" if [*value] == [*range(len(value))] else "integers": len(value)}
        inner = [outline(each) for each in value]
        return {"tuple": inner} if isinstance(value, tuple) else inner
    return value


def fill(value: Any, path: str = "") -> Any:
    """The inverse of `outline`, with tensors that are drawn from their own name: the same everywhere."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\w*)<([\dx]*)>", value)):
        return drawn(path, found[1] or "float32", tuple(map(int, filter(None, found[2].split("x")))))
    if isinstance(value, list):
        return [fill(each, f"{path}.{index}") for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if set(value) == {"#"}:
        return {key: fill(each, f"{path}.{key}") for key, each in value["#"]}
    if set(value) == {"tuple"}:
        return tuple(fill(value["tuple"], path))
    if set(value) == {"counted"}:
        return list(range(value["counted"]))
    if set(value) == {"integers"}:  # a Mersenne twister's 624 words; Python puts the place in them last
        words = np.random.default_rng(0).integers(0, 2**32, 624).tolist()
        return [*words, 624][: value["integers"]]
    return {key: fill(each, f"{path}.{key}") for key, each in value.items()}


def drawn(path: str, kind: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor that could be the real one: weights of a layer's usual size, positive variances, moments of Adam."""
    rng, name = np.random.default_rng(zlib.crc32(path.encode())), path.rsplit(".", 1)[-1]
    if kind == "uint8":
        return torch.Generator().manual_seed(0).get_state()
    if kind == "int64" or name == "step":
        return torch.tensor(2, dtype=getattr(torch, kind))
    values = rng.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[1:])))
    if len(shape) == 1:  # of a normalisation, or a bias
        values = 0.1 * rng.standard_normal(shape) + (name == "weight")
    if name == "exp_avg":  # large, so that a step shows whether Adam's state came along
        values = rng.standard_normal(shape)
    if name in ("running_var", "exp_avg_sq"):
        values = rng.uniform(0.5, 1.5, shape)
    return torch.from_numpy(np.asarray(values)).to(getattr(torch, kind))


def rebuild(outlines: dict[str, Any], folder: Path) -> Path:
    """The data and the run folder folder/runs/run, from what `record` has written."""
    write_data(folder)
    run = folder / "runs" / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(outlines["config.json"]))
    for name in CHECKPOINTS:
        torch.save(fill(outlines[name]), run / "checkpoints" / f"{name}.pt")
    return run


def results(checkout: Path, folder: Path) -> dict[str, Any]:
    """What a version's commands make of the rebuilt run: depths, errors, and weights after one more step."""
    frames = f"data/{DRIVE}/image_02/data"
    command(
        checkout,
        folder,
        f"predict.py {frames} --checkpoint runs/run/checkpoints/last.pt --out out --device cpu --write npy",
    )
    depth = np.load(next((folder / "out").rglob("*3_depth.npy")))
    assert depth.shape == (HEIGHT, WIDTH)
    given = "--load_weights_folder runs/run/checkpoints/best.pt --data_path data --eval_split split --device cpu"
    command(checkout, folder, f"evaluate_depth.py {given} --num_workers 0 --eval_out_dir errors")
    errors = json.loads((folder / "errors" / "metrics.json").read_text())["metrics"]
    before = torch.load(folder / "runs/run/checkpoints/last.pt", weights_only=True)
    command(checkout, folder, "train.py --resume runs/run --max_steps 3 --num_workers 0 --device cpu")
    after = torch.load(folder / "runs/run/checkpoints/last.pt", weights_only=True)
    return {
        "depth": depth[::6, ::8].astype(float).round(5).tolist(),
        "errors": errors,
        "progress": after["progress"],
        "moved": {part: moved(before["objective"], after["objective"], f"{part}.") for part in PARTS},
    }


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], part: str) -> float:
    """Mean distance of a part's weights before and after."""
    return (
        torch.cat([(after[n] - before[n]).abs().flatten().double() for n in after if n.startswith(part)]).mean().item()
    )


def record(checkout: Path) -> dict[str, Any]:
    """Everything that the file holds; two steps of training by the checkout, then `results`."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        write_data(Path(first))
        command(checkout, Path(first), f"train.py {TRAINING}")
        run = Path(first) / "runs" / "run"
        outlines = {"config.json": json.loads((run / "config.json").read_text())}
        for name in CHECKPOINTS:
            outlines[name] = outline(torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True))
        rebuild(outlines, Path(second))
        return {"outlines": outlines, "results": results(checkout, Path(second))}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(record(Path(sys.argv[1]).resolve()), separators=(",", ":")) + "\n")
