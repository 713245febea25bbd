"""`sightline activate`: make a bundle the recipe of a station and product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.options import PostgresOption, StateOption

if TYPE_CHECKING:
    from agents.activation import Activated


def activate(
    bundle: Annotated[Path, typer.Argument(help="The .bundle file that `sightline train` made.")],
    station: Annotated[str, typer.Option(help="site/line/station, the key its camera sends.")],
    product: Annotated[str, typer.Option(help="Product the station inspects with this bundle.")],
    postgres: PostgresOption = None,
    state: StateOption = None,
    sha256: Annotated[str | None, typer.Option(help="Refuse the file unless it has this sha256.")] = None,
    review: Annotated[
        float | None, typer.Option(help="Score from which a part is reviewed; else the bundle's.")
    ] = None,
    fail: Annotated[float | None, typer.Option(help="Score from which a part fails; else the bundle's.")] = None,
    min_area_px: Annotated[int | None, typer.Option(min=1, help="Smallest defect reported; else the bundle's.")] = None,
    min_area_mm2: Annotated[
        float | None, typer.Option(help="The same in mm² of the part, where the size of a pixel is known.")
    ] = None,
    um_per_px: Annotated[
        float | None, typer.Option(help="Micrometres a pixel of this station's frames; else the bundle's.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="x,y,width,height in pixels of the template: never scored. Several may be given."),
    ] = None,
    deadline_ms: Annotated[
        float | None, typer.Option(help="Cycle time of the reject gate; later verdicts are marked late.")
    ] = None,
    pass_sample: Annotated[float | None, typer.Option(min=0, max=1, help="Share of passes kept as evidence.")] = None,
    window: Annotated[
        int | None, typer.Option(min=3, max=255, help="Frames in the window that finds systematic defects.")
    ] = None,
    set_default: Annotated[
        bool, typer.Option("--set-default", help="Inspect this product when a frame names none (the first one does).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Write a new recipe revision; running workers use it within a second, between two frames, losing none.

    The bundle's sha256, every member's and its parity report are checked first, then it is put in the bundle store,
    where workers on every machine fetch it. What is not given comes from the bundle (thresholds, area, ignored boxes)
    or from the revision before (the rest). To go back, activate the older bundle. Exit: 0 active, 1 a value is not
    possible, 2 the bundle or the set-up is wrong.

    Try: sightline activate plate.bundle --station lab/line1/cam0 --product plate
    """
    from agents.activation import Wishes
    from agents.activation import activate as activate_bundle
    from deploy.options import boxes_of, open_database, settings_of
    from schemas.recipe import WindowSettings
    from schemas.store import ContentStore

    content = _read(bundle, sha256)
    settings = settings_of(postgres=postgres, state=state)
    wishes = Wishes(
        review=review,
        fail=fail,
        min_area_px=min_area_px,
        min_area_mm2=min_area_mm2,
        um_per_px=um_per_px,
        ignore_px=boxes_of(ignore) if ignore else None,
        deadline_ms=deadline_ms,
        pass_sample=pass_sample,
        window=WindowSettings(frames=window) if window else None,
    )
    with open_database(settings) as conn:
        done = activate_bundle(
            conn,
            ContentStore(settings.bundles_url),
            content,
            station=station,
            product=product,
            wishes=wishes,
            name=str(bundle),
            set_default=set_default,
        )
    _show(done, as_json=json)


def _read(bundle: Path, sha256: str | None) -> bytes:
    import hashlib

    from schemas.errors import SetupError

    try:
        content = bundle.read_bytes()
    except OSError as exc:
        raise SetupError(
            f"bundle {bundle} cannot be read: {exc.strerror}; give the file `sightline train` made"
        ) from exc
    actual = hashlib.sha256(content).hexdigest()
    if sha256 is not None and actual != sha256.lower():
        raise SetupError(f"bundle {bundle} has sha256 {actual}, not {sha256}: it is another file, or was altered")
    return content


def _show(done: Activated, *, as_json: bool) -> None:
    import json
    import sys

    recipe = done.recipe
    if as_json:
        print(json.dumps({**recipe.model_dump(mode="json"), "ref": done.ref, "default_product": done.default_product}))
    else:
        print(
            f"{recipe.station} inspects {recipe.product} by revision {recipe.revision}: bundle "
            f"{recipe.bundle_sha256[:12]}, review from {recipe.thresholds.review:g}, "
            f"fail from {recipe.thresholds.fail:g}"
        )
    if done.bundle_product != recipe.product:
        print(f"note: the bundle was trained as {done.bundle_product!r}", file=sys.stderr)
    if done.default_product != recipe.product:
        print(
            f"note: frames that name no product are still taken for {done.default_product!r}; "
            "--set-default changes that",
            file=sys.stderr,
        )
