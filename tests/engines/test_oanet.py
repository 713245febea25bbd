"""OANet: it learns from both modalities, one graph says what torch said, and backends agree about it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engines.backbone_student import load_student
from engines.oanet import Oanet
from engines.oanet_branches import BRANCHES, image_branch
from engines.oanet_graph import TOLERANCE, OanetSession, backend_difference, oanet_graph
from engines.oanet_lessons import CLEAN, MASKED, RAW
from engines.oanet_statistics import principal_components
from engines.oanet_training import OanetTrainer
from schemas.errors import EngineFault, InputError, SetupError
from tests.engines.oanet_parts import QUICK, lessons, trained

pytest.importorskip("torch", reason="the extra `train` is not installed")
TEST = np.arange(120, 160)


@cache
def student() -> OanetTrainer:
    return trained(lessons())


def test_what_both_modalities_show_is_found_by_the_fused_head_and_by_neither_alone() -> None:
    trainer = student()
    truth = trainer.lessons.defective[TEST]
    found = trainer.predict(TEST, trainer.lessons.fields[0, TEST])
    hits = {name: np.mean((getattr(found, name) > 0.5) == truth) for name in ("image", "external", "fused")}
    assert hits["fused"] > 0.9
    assert hits["fused"] > max(hits["image"], hits["external"])


def test_without_any_field_the_fused_head_still_answers() -> None:
    trainer = student()
    found = trainer.predict(TEST, np.full_like(trainer.lessons.fields[0, TEST], np.nan))
    assert np.isfinite(found.fused).all()
    assert np.ptp(found.fused) > 0.1


@pytest.mark.parametrize("name", BRANCHES)
def test_the_graph_says_what_torch_says_on_every_backend_and_image_branch(name: str) -> None:
    trainer = (
        student() if name == "student" else trained(lessons(name, 48), replace(QUICK, n_epochs=1, refine_epochs=1))
    )
    given = trainer.lessons
    some = np.arange(12)
    model = oanet_graph(trainer.network())
    pictures = given.images_uint8(some, CLEAN)
    fields = given.fields[0, some]
    ours, theirs = OanetSession(model).infer(pictures, fields), trainer.predict(some, fields)
    for mine, torchs in ((ours.image, theirs.image), (ours.external, theirs.external), (ours.fused, theirs.fused)):
        assert np.abs(mine - torchs).max() < 5e-3  # maps of a kept backbone are held in half precision
    assert backend_difference(model, pictures, fields, "openvino") < TOLERANCE


def test_what_is_black_is_lost_on_the_line_as_it_was_in_the_lessons() -> None:
    trainer = student()
    fields = trainer.lessons.fields[0, TEST]
    pictures = trainer.lessons.images_uint8(TEST, RAW)
    model = oanet_graph(trainer.network())
    line, taught = OanetSession(model).infer(pictures, fields), trainer.predict(TEST, fields, MASKED)
    assert np.allclose(line.image, taught.image, atol=5e-3) and np.allclose(line.fused, taught.fused, atol=5e-3)
    assert backend_difference(model, pictures, fields, "openvino") < TOLERANCE


def test_a_picture_that_is_lost_altogether_shows_no_defect() -> None:
    trainer = student()
    model = OanetSession(oanet_graph(trainer.network()))
    black = np.zeros_like(trainer.lessons.images_uint8(TEST[:1], CLEAN))
    assert model.infer(black, trainer.lessons.fields[0, TEST[:1]]).image[0] < 0.5


def test_a_part_says_the_same_alone_and_in_a_batch() -> None:
    trainer = student()
    model = OanetSession(oanet_graph(trainer.network()))
    pictures, fields = trainer.lessons.images_uint8(TEST, CLEAN), trainer.lessons.fields[0, TEST]
    every, alone = model.infer(pictures, fields), model.infer(pictures[3:4], fields[3:4])
    assert np.allclose(every.fused[3], alone.fused[0], atol=1e-5)


def test_the_same_seed_gives_the_same_bytes() -> None:
    small = lessons(n=48)
    settings = replace(QUICK, n_epochs=1, refine_epochs=1)
    assert oanet_graph(trained(small, settings).network()) == oanet_graph(trained(small, settings).network())


def test_the_image_branch_alone_wants_no_fields_and_says_the_same() -> None:
    trainer = student()
    pictures, fields = trainer.lessons.images_uint8(TEST, CLEAN), trainer.lessons.fields[0, TEST]
    alone = OanetSession(oanet_graph(trainer.network(), ("image",))).image_alone(pictures)
    assert np.allclose(alone, OanetSession(oanet_graph(trainer.network())).infer(pictures, fields).image, atol=1e-6)


def test_components_are_of_variance_one_and_directions_that_died_give_nothing() -> None:
    values = np.random.default_rng(0).normal(3, [1, 5, 0.1, 0], (200, 4))
    weight, bias = principal_components(values)
    found = values @ weight.T + bias
    assert np.allclose(found[:, :3].std(0), 1, atol=1e-4)
    assert np.allclose(found[:, 3:], 0)
    assert np.allclose(found.mean(0), 0, atol=1e-4)


def test_learning_on_with_more_parts_forgets_nothing() -> None:
    given = lessons()
    trainer = OanetTrainer(given, replace(QUICK, more_epochs=5))
    trainer.train(np.arange(80))
    trainer.learn_on(np.arange(120))
    found = trainer.predict(TEST, given.fields[0, TEST])
    assert np.mean((found.fused > 0.5) == given.defective[TEST]) > 0.9


def test_the_students_stages_lie_at_strides_of_4_8_and_16_px() -> None:
    levels = image_branch("student").spec.levels
    assert [level.stride_px for level in levels] == [4, 8, 16]
    shapes = load_student().weights
    assert all(level.channels == shapes[f"{level.name}.weight"].shape[0] for level in levels)


def test_an_unknown_branch_and_weights_without_use_are_refused(tmp_path: pytest.TempPathFactory) -> None:
    with pytest.raises(InputError, match="choose student"):
        image_branch("lenet")
    with pytest.raises(InputError, match="learns from the beginning"):
        image_branch("vgg16", tmp_path / "any.npz")


def test_a_missing_array_and_a_broken_model_are_named() -> None:
    net = student().network()
    with pytest.raises(SetupError, match=r"joint\.bias"):
        Oanet(net.branch, net.backbone, {k: v for k, v in net.arrays.items() if k != "joint.bias"}, net.side_px,
              net.n_fields, net.kept)  # fmt: skip
    with pytest.raises(SetupError, match="cannot be loaded by onnxruntime"):
        OanetSession(b"nonsense")
    with pytest.raises(SetupError, match="not on 'cuda'"):
        OanetSession(oanet_graph(net), "cuda")
    with pytest.raises(EngineFault, match="pictures"):
        OanetSession(oanet_graph(net)).infer(np.zeros((1, 3, 8, 8), np.uint8), np.zeros((1, net.n_fields)))
