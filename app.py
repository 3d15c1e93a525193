"""A page to look at a model: drop a picture or a clip, and see its depth, turn its points, and watch DejaVu at work.

    python app.py --checkpoint runs/NAME

It runs on this machine alone (127.0.0.1), needs no network, and keeps nothing that was dropped.
"""

from __future__ import annotations

import itertools
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from datasets.footage.decoding import count_frames
from datasets.footage.media import find_pictures
from depth.options.page import PageOptions
from depth.prediction.page.model import PageModel
from depth.prediction.page.server import ADDRESS, PageServer
from depth.prediction.pictures import read_picture
from depth.runs.checkpoint import newest_run
from depth.support.cli import parse, run
from depth.support.distributed import choose_device


def main() -> None:
    """Serves the page until Ctrl-C. Raises UserError for a model or a port that cannot be used."""
    options = parse(PageOptions, __doc__)
    with tempfile.TemporaryDirectory(prefix="dejavu-depth-page-") as folder:
        server = page_server(options, Path(folder))
        print(f"model: {server.model.place}, {server.model.checkpoint}, on {server.model.device}")
        print(f"page: http://{ADDRESS}:{server.server_port} (this machine alone); Ctrl-C ends it", flush=True)
        server.serve_forever()


def page_server(options: PageOptions, folder: Path) -> PageServer:
    """The server, which answers once `serve_forever` is called. `folder` holds a file while it is read."""
    place = Path(options.checkpoint) if options.checkpoint else newest_run(Path(options.log_dir))
    model = PageModel(place, choose_device(options.device), options.checkpoint_choice)
    read = partial(read_frames, count=options.max_frames)
    return PageServer(options.port, model, read, round(options.max_megabytes * 1e6), folder)


def read_frames(path: Path, count: int) -> list[np.ndarray]:
    """A picture, or so many frames spread over a clip, uint8 (H,W,3) RGB. Raises UserError for anything else."""
    (clip,) = find_pictures([str(path)])
    apart = max(1, -(-(clip.count or count_frames(path)) // count))
    chosen = itertools.islice(clip.frames(), 0, apart * count, apart)
    return [read_picture(frame.path) if frame.pixels is None else frame.pixels for frame in chosen]


if __name__ == "__main__":
    run(main)
