"""What is said of a training in words: a name for its folder, and what a reader of its results should know."""

from __future__ import annotations

from pathlib import Path

from depth.options.config import Config
from depth.options.data import DataOptions


def run_name(config: Config) -> str:
    """What is trained, as part of a folder's name: resnet18_attention_dejavu-spectral."""
    options = config.network
    network = options.depth_encoder.removeprefix("timm/") if options.depth_net == "resnet" else options.depth_net
    if config.tasks.labelled:
        network += "_" + "-".join(config.tasks.tasks)
    network += "_attention" if config.dejavu.dejavu_attention else ""
    return f"{network}_dejavu-{config.dejavu.edit}" if config.dejavu.dejavu else network


def remarks(config: Config) -> list[str]:
    """Lines about options without effect and about weights that mean nothing. `config` must be resolved."""
    found, data, dejavu = [], config.data, config.dejavu
    if data.dataset in ("video", "frames"):
        found.append(f"network input: {data.width}x{data.height}")
    own = data.dataset == "synthetic" and Path(data.split).exists()  # which is used there too
    if data.dataset != "kitti" and data.split not in (DataOptions().split, data.dataset) and not own:
        whose = {"video": "footage is divided by itself", "frames": "a manifest's lines say which part is theirs"}
        whose = whose.get(data.dataset, "the embedded world has its own")
        found.append(f"--split {data.split} is not used: {whose}")
    if data.pitch_jitter:
        found.append(f"training turns its cameras up or down by up to {data.pitch_jitter:g} degrees (--pitch_jitter)")
    tasks = config.tasks
    if tasks.labelled:
        of_depth = {"video": "video", "labels": "labels", "both": "video and labels"}[tasks.depth_from]
        learnt = [f"depth from {of_depth}" if name == "depth" else name for name in tasks.predicted]
        found.append(f"tasks: {', '.join(learnt)}")
    if dejavu.dejavu:
        found.append(
            f"DejaVu: the edit is {dejavu.edit}, C is the prediction of {', '.join(tasks.conditions)}; "
            "for what its figures mean see docs/DEJAVU.md, What to look at"
        )
    if (dejavu.dejavu or dejavu.dejavu_attention) and dejavu.dejavu_lpips and dejavu.lpips_weights == "random":
        found.append(
            "LPIPS has a random, seeded trunk (--lpips_weights random): its values are not comparable to others"
        )
    if dejavu.dejavu_text and dejavu.text_weights == "random":
        found.append("CLIP has random weights (--text_weights random): it knows no text")
    return found


def waiting_hint(config: Config, frames: int) -> str:
    """What helps where training waits for its data: the cache with its size, or more loader processes."""
    data = config.data
    workers = "more --num_workers" + ("" if data.num_workers is None else f" than {data.num_workers}")
    if data.cache:
        return workers
    size = frames * (2 if data.use_stereo else 1) * 3 * data.height * data.width / 1e9
    return f"--cache DIR keeps the frames decoded ({size:.1f} GB), or {workers}"
