"""Inspection: one answer a picture, decided by its bytes, the bundle and the recipe alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from engines.align_settings import AlignSettings
from pipeline.decision import RecipeRules
from pipeline.inspection import Inspection, InspectionRequest, Inspector, Refusal
from pipeline.score_map import UNSCORED
from schemas.errors import DeadLetterReason
from schemas.verdict import AlignmentStatus, Outcome, Reason
from tests.engines.backends.small_model import small_model
from tests.pipeline.frames import LIMITS, TEMPLATE_PX, plate_bundle, plate_frame, request, template

RULES = RecipeRules(LIMITS)
SCRATCH = (30, 36, 30, 9)


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector(plate_bundle(), backend="onnxruntime")


def one(inspector: Inspector, what: InspectionRequest, rules: RecipeRules = RULES) -> Inspection:
    (answer,) = inspector.inspect([what], rules)
    assert isinstance(answer, Inspection), answer
    return answer


def same(ours: Inspection | Refusal, theirs: Inspection | Refusal) -> bool:
    """Equal in everything but the time it took."""
    if isinstance(ours, Refusal) or isinstance(theirs, Refusal):
        return ours == theirs
    arrays = [(ours.score_grid, theirs.score_grid), (ours.aligned_picture, theirs.aligned_picture),
              (ours.transform, theirs.transform), (ours.score_map, theirs.score_map)]  # fmt: skip
    equal = all((a is None and b is None) or np.array_equal(a, b, equal_nan=True) for a, b in arrays)  # type: ignore[arg-type]
    facts = [(i.outcome, i.reason, i.detail, i.score, i.defects, i.alignment, i.heat_map_png) for i in (ours, theirs)]
    return equal and facts[0] == facts[1]


class TestOutcomes:
    def test_a_good_part_passes_in_any_pose(self, inspector: Inspector) -> None:
        for pose in ((0, 0, 0), (8, -6, 25), (-5, 9, -140)):
            answer = one(inspector, request(plate_frame(*pose)))
            assert answer.outcome is Outcome.PASS and answer.defects == () and answer.heat_map_png is None
            assert answer.alignment.status is AlignmentStatus.ALIGNED

    def test_a_scratch_fails_and_its_box_in_the_frame_is_where_it_is(self, inspector: Inspector) -> None:
        answer = one(inspector, request(plate_frame(12, -8, 90, scratch=SCRATCH)))
        assert answer.outcome is Outcome.FAIL and answer.reason is None and answer.transform is not None
        (defect, *_) = answer.defects
        x, y, w, h = SCRATCH
        middle = answer.transform[:, :2] @ (x + w / 2, y + h / 2) + answer.transform[:, 2]
        left, top, wide, high = defect.bbox_px
        assert left <= middle[0] <= left + wide and top <= middle[1] <= top + high
        assert high > wide, "the part is turned by 90 degrees, so the box must stand upright"
        assert answer.heat_map_png is not None and answer.heat_map_png.startswith(b"\x89PNG")

    def test_between_the_thresholds_it_is_reviewed(self, inspector: Inspector) -> None:
        score = one(inspector, request(plate_frame(scratch=SCRATCH))).score
        assert score is not None
        limits = LIMITS.model_copy(update={"review": score, "fail": score + 1e-6})
        answer = one(inspector, request(plate_frame(scratch=SCRATCH)), RecipeRules(limits))
        assert answer.outcome is Outcome.REVIEW and answer.reason is Reason.LOW_CONFIDENCE and answer.defects

    def test_another_frame_size_is_uninspected_and_says_both_sizes(self, inspector: Inspector) -> None:
        answer = one(inspector, request(plate_frame()[:100]))
        assert (answer.outcome, answer.reason) == (Outcome.UNINSPECTED, Reason.WRONG_SIZE)
        assert "192x100" in answer.detail and "192x160" in answer.detail
        assert answer.score is None and answer.aligned_picture is None

    def test_what_is_not_the_part_is_uninspected(self, inspector: Inspector) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (160, 192)).astype(np.uint8)
        answer = one(inspector, request(noise))
        assert (answer.outcome, answer.reason) == (Outcome.UNINSPECTED, Reason.MISALIGNED)
        assert answer.detail and answer.alignment.residual is not None and answer.score is None

    def test_poison_is_refused_with_its_reason(self, inspector: Inspector) -> None:
        good = request(plate_frame()).picture
        cases = {
            DeadLetterReason.CORRUPT_PICTURE: InspectionRequest(good[:-30], "image/png"),
            DeadLetterReason.EMPTY_VALUE: InspectionRequest(b"", "image/png"),
            DeadLetterReason.CONTENT_TYPE_MISMATCH: InspectionRequest(good, "image/jpeg"),
        }
        for reason, poison in cases.items():
            (answer,) = inspector.inspect([poison], RULES)
            assert isinstance(answer, Refusal) and answer.reason is reason and answer.detail


class TestIndependence:
    def batch(self) -> list[InspectionRequest]:
        good = request(plate_frame(3, 2, 5))
        return [
            good,
            InspectionRequest(good.picture[:500], "image/png"),
            request(plate_frame(scratch=SCRATCH), ".jpg"),
            request(plate_frame()[:90]),
            request(np.full((160, 192), 7, np.uint8)),
            request(plate_frame(-9, 4, 77), ".bmp"),
            InspectionRequest(b"text", "image/bmp"),
            request(plate_frame(1, 1, 1, scratch=(50, 20, 20, 20)), ".tiff"),
        ]

    @pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
    def test_a_picture_is_answered_the_same_alone_and_in_any_batch(self, backend: str) -> None:
        inspector = Inspector(plate_bundle(), backend=backend)
        batch = self.batch()
        alone = [inspector.inspect([each], RULES)[0] for each in batch]
        rng = np.random.default_rng(3)
        for size in (2, 3, 8):
            order = rng.permutation(len(batch))[:size]
            answers: Sequence[Inspection | Refusal] = inspector.inspect([batch[i] for i in order], RULES)
            assert all(same(answer, alone[i]) for answer, i in zip(answers, order, strict=True))

    def test_another_inspector_answers_the_same(self, inspector: Inspector) -> None:
        other = Inspector(plate_bundle(), backend="onnxruntime")
        ours, theirs = inspector.inspect(self.batch(), RULES), other.inspect(self.batch(), RULES)
        assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))

    def test_a_frame_the_model_cannot_judge_is_refused_and_its_neighbours_are_not_touched(self) -> None:
        bundle = plate_bundle(model=small_model(TEMPLATE_PX, poisonous=True), align=None)
        poisoned = Inspector(bundle, backend="onnxruntime")
        frames = [request(plate_frame()), request(np.full((160, 192), 255, np.uint8)), request(plate_frame(5, 5, 5))]
        first, white, third = poisoned.inspect(frames, RULES)
        assert isinstance(white, Refusal) and white.reason is DeadLetterReason.ENGINE_FAULT
        assert "not finite" in white.detail
        assert same(first, poisoned.inspect(frames[:1], RULES)[0])
        assert same(third, poisoned.inspect(frames[2:], RULES)[0])

    def test_no_pictures_give_no_answers(self, inspector: Inspector) -> None:
        assert inspector.inspect([], RULES) == []


class TestWhatIsScored:
    def test_an_ignored_region_cannot_fail_a_part(self, inspector: Inspector) -> None:
        x, y, w, h = SCRATCH
        rules = replace(RULES, ignore_px=((x - 8, y - 8, w + 16, h + 16),))
        answer = one(inspector, request(plate_frame(scratch=SCRATCH)), rules)
        assert answer.outcome is Outcome.PASS and answer.score_map is not None
        assert np.all(answer.score_map[y : y + h, x : x + w] == UNSCORED)
        assert one(inspector, request(plate_frame(scratch=SCRATCH))).outcome is Outcome.FAIL

    def test_a_recipe_that_ignores_everything_is_no_recipe(self, inspector: Inspector) -> None:
        answer = one(inspector, request(plate_frame()), replace(RULES, ignore_px=((-10, -10, 500, 500),)))
        assert (answer.outcome, answer.reason) == (Outcome.UNINSPECTED, Reason.NO_RECIPE)
        assert "ignore_px" in answer.detail

    def test_what_lies_outside_the_frame_is_never_scored(self) -> None:
        settings = AlignSettings(max_shift_px=60, min_inside=0.3)
        inspector = Inspector(plate_bundle(align=settings), backend="onnxruntime")
        answer = one(inspector, request(plate_frame(dx_px=60)))
        assert answer.outcome is Outcome.PASS and answer.score_map is not None
        assert np.all(answer.score_map[:, -29:] == UNSCORED)

    def test_a_larger_least_area_wants_a_larger_defect(self, inspector: Inspector) -> None:
        spot = request(plate_frame(scratch=(40, 30, 8, 8)))
        tolerant = replace(RULES, min_area_px=2000)
        strict, lax = one(inspector, spot), one(inspector, spot, tolerant)
        assert strict.score is not None and lax.score is not None
        assert strict.outcome is not Outcome.PASS and lax.outcome is Outcome.PASS and lax.score < strict.score

    def test_only_the_foreground_of_the_bundle_is_scored(self) -> None:
        from engines.bundle import FOREGROUND, Bundle, bundle_bytes
        from tests.pipeline.pictures import encode

        plain = plate_bundle()
        mask = np.full(template().shape, 255, np.uint8)
        x, y, w, h = SCRATCH
        mask[y - 8 : y + h + 8, x - 8 : x + w + 8] = 0
        masked = Bundle.from_bytes(bundle_bytes(plain.manifest, {**plain.members, FOREGROUND: encode(".png", mask)}))
        answer = one(Inspector(masked, backend="onnxruntime"), request(plate_frame(scratch=SCRATCH)))
        assert answer.outcome is Outcome.PASS


class TestHeatMapsAndTimes:
    def test_heat_maps_come_when_asked_for(self, inspector: Inspector) -> None:
        frames = [request(plate_frame()), request(plate_frame(scratch=SCRATCH))]
        for which, expected in (("all", [True, True]), ("suspect", [False, True]), ("none", [False, False])):
            answers = inspector.inspect(frames, RULES, heat_maps=which)  # type: ignore[arg-type]
            assert [isinstance(a, Inspection) and a.heat_map_png is not None for a in answers] == expected

    def test_every_step_is_timed(self, inspector: Inspector) -> None:
        answer = one(inspector, request(plate_frame()))
        assert answer.decode_ms > 0 and answer.align_ms > 0 and answer.localise_ms > 0
