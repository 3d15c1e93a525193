import multiprocessing
import os
import pickle
import signal
import time
import weakref

import numpy as np
import pytest
import torch

from datasets.core import sampler as module
from datasets.core.frames import FrameDataset
from datasets.core.sampler import EpochSampler, Loading, default_workers, epoch_order, make_loader, make_train_loader
from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from depth.types import RawBatch, UserError
from tests.kitti_layout import DRIVE, write_raw

FRAMES = 22


@pytest.fixture
def dataset(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(FRAMES), "l"))
    refs = [FrameRef(DRIVE, frame, "l") for frame in range(1, FRAMES - 1)]
    return FrameDataset(source, refs, 12, 20, seed=7)


def damage(dataset, frame):
    """Cuts the frame's file off; three samples need it."""
    path = dataset.source.image_path(FrameRef(DRIVE, frame, "l"))
    path.write_bytes(path.read_bytes()[:60])
    return path.name


def epoch(sampler, number=0, start=0):
    sampler.set_epoch(number, start)
    return list(sampler)


def test_an_epoch_holds_each_sample_once_and_orders_differ():
    sampler = EpochSampler(103, 10, seed=3)
    first, second = epoch(sampler, 0), epoch(sampler, 1)
    assert len(sampler) == len(first) == 10
    assert {e for batch in second for e, _ in batch} == {1}
    indices = [i for batch in first for _, i in batch]
    assert len(set(indices)) == 100 and set(indices) <= set(range(103))
    assert indices != [i for batch in second for _, i in batch]
    assert first == epoch(EpochSampler(103, 10, seed=3), 0) != epoch(EpochSampler(103, 10, seed=4), 0)
    assert sorted(epoch_order(50, 1, 2)) == list(range(50))


def test_a_resumed_epoch_goes_on_with_the_same_batches():
    sampler = EpochSampler(103, 10, seed=3)
    assert epoch(sampler, 5, 4) == epoch(sampler, 5)[4:]
    assert epoch(sampler, 5, 10) == []
    assert len(sampler) == 10
    for rank in (0, 1):  # a step is one of all ranks
        shared = EpochSampler(103, 5, seed=3, rank=rank, world_size=2)
        assert epoch(shared, 5, 1) == epoch(shared, 5)[1:]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_steps_of_one_process(world):
    single = epoch(EpochSampler(104, 4 * world, 3), 2)
    ranks = [epoch(EpochSampler(104, 4, 3, rank, world), 2) for rank in range(world)]
    assert len({len(steps) for steps in ranks}) == 1
    for whole, *parts in zip(single, *ranks, strict=True):
        together = [key for part in parts for key in part]
        assert len(together) == len(whole) and set(together) == set(whole)


def test_too_few_samples_for_a_step_is_a_user_error():
    with pytest.raises(UserError, match="7 samples do not fill a step of 2 x 4"):
        EpochSampler(7, 4, 0, world_size=2)


def same(a: RawBatch, b: RawBatch) -> bool:
    tensors = ("frames", "intrinsics", "stereo_from_target", "flip", "jitter")
    return a.names == b.names and all(torch.equal(getattr(a, n), getattr(b, n)) for n in tensors)


def test_batches_do_not_depend_on_workers_or_interruption_and_leave_the_global_generator_alone(dataset):
    def batches(workers, number, start=0):
        loader = make_train_loader(dataset, Loading(4, workers, seed=7))
        for earlier in range(number):
            loader.batch_sampler.set_epoch(earlier)
            next(iter(loader))
        loader.batch_sampler.set_epoch(number, start)
        return list(loader)

    state = torch.get_rng_state()
    plain = batches(0, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(plain) == 5 and len({name for batch in plain for name in batch.names}) == 20
    assert all(map(same, batches(2, 1), plain))
    assert all(map(same, batches(1, 1, 2), plain[2:]))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(batches(0, 0)[0], plain[0])


def test_evaluation_loader_keeps_the_order(dataset):
    batches = list(make_loader(dataset, Loading(8, 0), lambda samples: [s.name for s in samples]))
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert sum(batches, []) == [ref.name for ref in dataset.refs]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_stops_with_its_name_in_one_line(dataset, workers):
    name = damage(dataset, 9)
    with pytest.raises(UserError, match=name) as error:
        list(make_train_loader(dataset, Loading(4, workers, seed=7)))
    assert "\n" not in str(error.value) and "Traceback" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_replaced_named_and_counted(dataset, workers, capfd, monkeypatch):
    monkeypatch.setattr("datasets.core.sampler._MAX_BAD_SHARE", 1.0)
    name = damage(dataset, 9)
    loader = make_train_loader(dataset, Loading(4, workers, seed=7, on_bad_sample="skip"))
    names = [n for batch in loader for n in batch.names]
    assert len(names) == 20
    assert not {f"{DRIVE} {frame} l" for frame in (8, 9, 10)} & set(names)
    # Sample 8 tries 8, 9, 10; sample 9 tries 9, 10; sample 10 tries itself.
    assert names.count(f"{DRIVE} 11 l") == 4 and loader.bad_samples == 6
    assert capfd.readouterr().err.count(name) == 6


def test_more_than_one_percent_of_bad_samples_stops(dataset):
    damage(dataset, 9)
    loader = make_train_loader(dataset, Loading(4, 0, seed=7, on_bad_sample="skip"))
    with pytest.raises(UserError, match="more than 1 %"):
        list(loader)


def test_nothing_but_bad_samples_stops(dataset):
    for frame in range(FRAMES):
        damage(dataset, frame)
    with pytest.raises(UserError, match="bad samples in a row"):
        list(make_train_loader(dataset, Loading(4, 0, seed=7, on_bad_sample="skip")))


class Killer(torch.utils.data.Dataset):
    """Ends the process that asks for a sample, as a lack of memory would."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os._exit(3)


def test_a_dead_worker_is_one_line():
    with pytest.raises(UserError, match="loader process died") as error:
        list(make_loader(Killer(), Loading(2, 1), list))
    assert "\n" not in str(error.value)


def test_only_the_loaders_own_workers_are_ended_at_exit(dataset, monkeypatch):
    # Workers of earlier tests' loaders, which garbage has yet to take, are none of this one's.
    monkeypatch.setattr(module, "_WORKERS", weakref.WeakSet())
    stranger = multiprocessing.Process(target=time.sleep, args=(60,), daemon=True)
    stranger.start()
    others = set(multiprocessing.active_children())
    batches = iter(make_loader(dataset, Loading(4, 2), list))
    next(batches)
    workers = set(multiprocessing.active_children()) - others
    handler = signal.getsignal(signal.SIGCHLD)
    # As at exit: an iterator that closes waits for ever for a lock that a killed worker may have held.
    monkeypatch.setattr(torch.utils.data._utils, "python_exit_status", True)
    try:
        module._end_workers()
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 2
        assert stranger.is_alive()
    finally:
        del batches
        stranger.kill()
        stranger.join()
        signal.signal(signal.SIGCHLD, handler)


def test_workers_are_ended_where_the_platform_has_no_sigchld(monkeypatch):
    class Worker:
        killed = False

        def is_alive(self):
            return True

        def kill(self):
            self.killed = True

    worker = Worker()
    monkeypatch.setattr(module, "_WORKERS", {worker})
    monkeypatch.delattr(signal, "SIGCHLD")
    module._end_workers()
    assert worker.killed


def test_the_dataset_travels_to_freshly_started_workers(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(torch.stack(copy[(1, 2)].frames), torch.stack(dataset[(1, 2)].frames))


def test_worker_count_suits_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert default_workers() == 11
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert default_workers() == 1


def test_orders_are_uniform():
    first = [epoch_order(10, 0, e)[0] for e in range(2000)]
    assert np.bincount(first, minlength=10).min() > 140
