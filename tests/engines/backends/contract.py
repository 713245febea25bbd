"""What every backend must do; each backend's test inherits `EngineContract` and adds only `make_engine`."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from engines.engine import BACKENDS, Engine, NonFiniteScores
from schemas.errors import EngineFault, SetupError
from tests.engines.backends.small_model import small_model

SIZE_PX = (64, 48)
HEIGHT, WIDTH = 48, 64


@cache
def model(poisonous: bool = False) -> bytes:
    """The small net all backends are tested on."""
    return small_model(SIZE_PX, poisonous=poisonous)


def frames(n: int, seed: int = 7) -> NDArray[np.uint8]:
    """(n, 3, 48, 64) uint8, all different."""
    return np.random.default_rng(seed).integers(0, 250, (n, 3, HEIGHT, WIDTH), np.uint8)


class EngineContract:
    """The obligations of `engines.engine.Engine`, as tests."""

    tolerance = 1e-5

    def make_engine(self, onnx_model: bytes) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def engine(self) -> Engine:
        return self.make_engine(model())

    def test_scores_are_float32_one_grid_a_frame(self, engine: Engine) -> None:
        scores = engine.infer(frames(3))
        assert scores.dtype == np.float32
        assert scores.shape == (3, 1, 6, 8)

    def test_scores_are_those_of_the_model(self, engine: Engine) -> None:
        session = onnxruntime.InferenceSession(model(), providers=["CPUExecutionProvider"])
        (expected,) = session.run(None, {"frames": frames(4)})
        np.testing.assert_allclose(engine.infer(frames(4)), expected, atol=self.tolerance, rtol=0)

    def test_a_frame_scores_the_same_alone_and_in_a_batch(self, engine: Engine) -> None:
        batch = frames(5)
        together = engine.infer(batch)
        for i in range(5):
            np.testing.assert_array_equal(engine.infer(batch[i : i + 1])[0], together[i])

    def test_a_frame_scores_the_same_every_time_and_in_a_new_engine(self, engine: Engine) -> None:
        first = engine.infer(frames(1))
        engine.infer(frames(4, seed=8))
        np.testing.assert_array_equal(engine.infer(frames(1)), first)
        np.testing.assert_array_equal(self.make_engine(model()).infer(frames(1)), first)

    def test_it_never_writes_to_the_batch_and_takes_one_that_cannot_be_written(self, engine: Engine) -> None:
        batch = frames(2)
        batch.setflags(write=False)
        engine.infer(batch)
        np.testing.assert_array_equal(batch, frames(2))

    def test_a_batch_that_is_a_view_with_strides_is_read_right(self, engine: Engine) -> None:
        pictures = np.ascontiguousarray(frames(2).transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(engine.infer(pictures.transpose(0, 3, 1, 2)), engine.infer(frames(2)))

    def test_scores_given_out_are_not_overwritten_by_the_next_call(self, engine: Engine) -> None:
        first = engine.infer(frames(1))
        kept = first.copy()
        engine.infer(frames(1, seed=9))
        np.testing.assert_array_equal(first, kept)

    @pytest.mark.parametrize(
        "batch",
        [
            np.zeros((1, 3, WIDTH, HEIGHT), np.uint8),
            np.zeros((3, HEIGHT, WIDTH), np.uint8),
            np.zeros((1, 1, HEIGHT, WIDTH), np.uint8),
            np.zeros((0, 3, HEIGHT, WIDTH), np.uint8),
            np.zeros((1, 3, HEIGHT, WIDTH), np.float32),
        ],
        ids=["turned", "no batch axis", "one channel", "empty", "float"],
    )
    def test_another_shape_or_type_is_refused_in_words(self, engine: Engine, batch: NDArray[np.uint8]) -> None:
        with pytest.raises(ValueError, match=r"takes uint8 \(N, 3, 48, 64\)"):
            engine.infer(batch)

    def test_a_score_that_is_not_a_number_is_a_fault_that_names_the_frame(self) -> None:
        engine = self.make_engine(model(poisonous=True))
        batch = frames(3)
        engine.infer(batch)
        batch[1] = 255
        with pytest.raises(NonFiniteScores) as caught:
            engine.infer(batch)
        assert caught.value.frames == (1,)
        np.testing.assert_allclose(engine.infer(batch[:1]), engine.infer(frames(3))[:1])

    def test_closing_twice_is_harmless_and_then_it_refuses(self, engine: Engine) -> None:
        engine.close()
        engine.close()
        with pytest.raises(EngineFault, match="after close"):
            engine.infer(frames(1))

    def test_it_says_what_it_is(self, engine: Engine) -> None:
        assert isinstance(engine, Engine)
        assert engine.backend in BACKENDS
        assert engine.precision == "f32"
        assert engine.version[0].isdigit()
        assert engine.input_size_px == SIZE_PX

    def test_bytes_that_are_no_model_are_a_set_up_error(self) -> None:
        with pytest.raises(SetupError, match=r"model\.onnx"):
            self.make_engine(b"not a model")
