"""Networks learn on a GPU when there is one; who asks for one that is not there hears of it at once."""

from __future__ import annotations

import importlib.util

import pytest

from engines.training_device import cpu_threads, training_device
from schemas.errors import InputError, MissingExtra, SetupError


@pytest.fixture
def torch_sees(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'sightline[train]'")
    return monkeypatch


def test_what_is_named_is_taken(torch_sees: pytest.MonkeyPatch) -> None:
    torch_sees.setattr("torch.cuda.is_available", lambda: True)
    assert training_device("cpu") == "cpu"
    assert training_device("cuda") == "cuda"


@pytest.mark.parametrize("there", [True, False])
def test_auto_is_a_gpu_that_torch_sees(torch_sees: pytest.MonkeyPatch, there: bool) -> None:
    torch_sees.setattr("torch.cuda.is_available", lambda: there)
    assert training_device("auto") == ("cuda" if there else "cpu")


def test_a_gpu_that_is_not_there_is_an_error(torch_sees: pytest.MonkeyPatch) -> None:
    torch_sees.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SetupError, match=r"--device cuda: torch .* sees no GPU .*use --device cpu or auto"):
        training_device("cuda")


def test_without_torch_auto_is_the_cpu_and_cuda_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert training_device("auto") == "cpu"
    with pytest.raises(MissingExtra, match=r"sightline\[train\]"):
        training_device("cuda")


def test_a_training_takes_the_threads_it_is_given_and_gives_them_back() -> None:
    torch = pytest.importorskip("torch", reason="the extra `train` is not installed")
    before = torch.get_num_threads()
    with pytest.raises(InputError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise InputError("training fails")
    assert torch.get_num_threads() == before
