"""What --precision means on a machine. There is no GPU here: its answers are given."""

import pytest
import torch

from depth.support.host import bfloat16_networks

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((12, 0), True)])
def test_auto_takes_bfloat16_where_the_card_has_it(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card X")
    chosen, line = bfloat16_networks("auto", GPU)
    assert chosen is expected and "Card X" in line and ("precision: bfloat16" in line) is expected
    assert expected or "compute capability 7.5, bfloat16 needs 8.0" in line
    assert bfloat16_networks("float32", GPU)[0] is False and bfloat16_networks("bfloat16", GPU)[0] is True


def test_on_a_cpu_auto_is_float32():
    assert bfloat16_networks("auto", CPU) == (False, "precision: float32")
    assert bfloat16_networks("bfloat16", CPU)[0] is True
