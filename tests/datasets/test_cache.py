"""Frames at training size in a memory-mapped file: the same pixels, and nothing else is ever taken for a cache."""

import multiprocessing
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core import cache as cache_module
from datasets.core.cache import FrameCache, open_cache
from datasets.core.frames import FrameDataset, collate
from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from depth.types import UserError
from tests.kitti_layout import DRIVE, picture, write_raw

SIZE = (12, 20)


def frame(number, side="l"):
    return FrameRef(DRIVE, number, side)


@pytest.fixture
def source(tmp_path):
    return KittiRaw(write_raw(tmp_path / "kitti", range(6)))


def open_here(tmp_path, source, numbers=range(6), size=SIZE):
    return open_cache(
        tmp_path / "cache", source, [frame(n, s) for n in numbers for s in "lr"], *size, workers=0, progress=False
    )


def caches(tmp_path):
    return sorted(p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock"))


def test_samples_are_those_of_the_files(tmp_path, source):
    refs = [frame(n) for n in range(1, 5)]
    plain = FrameDataset(source, refs, *SIZE, use_stereo=True, seed=3)
    cached = FrameDataset(source, refs, *SIZE, use_stereo=True, seed=3, cache=open_here(tmp_path, source))
    a, b = (collate([d[(2, i)] for i in range(4)]) for d in (plain, cached))
    for name in ("frames", "intrinsics", "stereo_from_target", "flip", "jitter"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.names == b.names and a.offsets == b.offsets


def test_it_is_written_once(tmp_path, source, monkeypatch):
    first = open_here(tmp_path, source)
    monkeypatch.setattr(cache_module, "_write", lambda *_: pytest.fail("written twice"))
    again = open_here(tmp_path, source)
    assert len(caches(tmp_path)) == 1 and len(again) == len(first) == 12
    assert torch.equal(again[frame(3, "r")], first[frame(3, "r")])


def test_size_split_and_changed_files_have_caches_of_their_own(tmp_path, source):
    open_here(tmp_path, source)
    open_here(tmp_path, source, size=(12, 24))
    open_here(tmp_path, source, numbers=range(5))
    assert len(caches(tmp_path)) == 3
    path = source.image_path(frame(2))
    Image.fromarray(picture(77)).save(path)
    os.utime(path, ns=(1, 1))
    fresh = open_here(tmp_path, source, size=(24, 40))
    assert len(caches(tmp_path)) == 4
    assert torch.equal(fresh[frame(2)], torch.from_numpy(picture(77)).permute(2, 0, 1))
    assert len(caches(tmp_path)) == 4 and open_here(tmp_path, source)[frame(2)].shape == (3, *SIZE)
    assert len(caches(tmp_path)) == 5  # the same size again, but frame 2 is another file now


def test_an_interrupted_writer_leaves_no_cache(tmp_path, source, monkeypatch):
    def interrupted(*_arguments, **_options):
        yield [torch.zeros(3, *SIZE, dtype=torch.uint8)]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "make_loader", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_here(tmp_path, source)
    assert caches(tmp_path) == []
    assert len(open_here(tmp_path, source)) == 12


def _open_in_process(folder, results):
    source = KittiRaw(folder / "kitti")
    cache = open_here(folder, source)
    results.put((os.getpid(), int(cache[frame(5)].sum()), caches(folder)))


def test_processes_that_start_together_share_one(tmp_path, source):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_open_in_process, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({total for _, total, _ in found}) == 1
    assert len(caches(tmp_path)) == 1 and not list((tmp_path / "cache").glob(".*.part"))


def test_damage_is_one_line(tmp_path, source):
    open_here(tmp_path, source)
    path = tmp_path / "cache" / caches(tmp_path)[0] / "frames.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="delete the folder"):
        open_here(tmp_path, source)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit of the last frame
    with pytest.raises(UserError, match="delete the folder"):
        open_here(tmp_path, source)
    np.save(path, np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match="delete the folder"):
        open_here(tmp_path, source)


def test_a_full_disk_is_told_before_the_work(tmp_path, source, monkeypatch):
    class Usage:
        free = 100

    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(UserError, match="are free"):
        open_here(tmp_path, source)


def test_a_damaged_frame_is_named(tmp_path, source):
    path = source.image_path(frame(4))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=path.name):
        open_here(tmp_path, source)
    assert caches(tmp_path) == []


def test_it_travels_by_name_and_is_not_written_into(tmp_path, source):
    cache = open_here(tmp_path, source)
    packed = pickle.dumps(cache)
    assert len(packed) < 12 * 3 * 12 * 20
    copy = pickle.loads(packed)
    cache[frame(1)].zero_()
    assert copy[frame(1)].any() and isinstance(copy, FrameCache)
