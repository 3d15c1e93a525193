import pickle

import pytest

from depth.types import reason_of

OTHER = "it is in another format, or holds more than plain numbers"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.npy"), "No such file or directory"),
        (
            RuntimeError("Reading failed: no directory. This is an internal error.\nmore"),
            "Reading failed: no directory",
        ),
        (RuntimeError("version 2.6.1 is too new."), "version 2.6.1 is too new"),
        (ValueError("This file contains pickled (object) data. If you trust the file, use allow_pickle="), OTHER),
        (pickle.UnpicklingError("Weights only load failed. In PyTorch 2.6 we changed"), OTHER),
        (IndexError("pop from empty list"), OTHER),
        (ValueError("word " * 100), "word " * 39 + "..."),
        (EOFError(), "EOFError"),
    ],
)
def test_reasons_are_a_sentence_without_unsafe_advice(error, reason):
    assert reason_of(error) == reason
