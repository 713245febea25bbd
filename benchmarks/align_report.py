"""The figures of `sightline bench align --json` as the tables of docs/alignment.md.

Usage: sightline bench align --json > align.json; python -m benchmarks.align_report align.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_COLUMNS = (
    "p50_px",
    "p95_px",
    "p99_px",
    "p50_deg",
    "p95_deg",
    "p99_deg",
    "failure_rate",
    "silent_rate",
    "ms_per_frame",
)
_HEADS = ("p50 px", "p95 px", "p99 px", "p50 deg", "p95 deg", "p99 deg", "lost (> 1 px)", "lost unrefused", "ms")


def tables(result: dict[str, Any]) -> str:
    """Markdown: accuracy by product and noise, by defect, and beside the peers."""
    products: dict[str, Any] = result["figures"]["products"]
    parts = ["### Ours, all in, by noise\n", _head("product", "noise", "bound px")]
    parts += [
        _row(name, noise, f"{_bound(p, noise)}", f)
        for name, p in products.items()
        for noise, f in p["by_noise"].items()
    ]
    parts += ["\n### Ours, all in, by size of a pasted defect (2% noise)\n", _head("product", "defect")]
    parts += [_row(name, size, None, f) for name, p in products.items() for size, f in p["by_defect"].items()]
    parts += ["\n### Beside what one can install (2% noise, the same frames)\n", _head("product", "method")]
    parts += [
        _row(name, peer, None, f | {"silent_rate": f["failure_rate"]})
        for name, p in products.items()
        for peer, f in p["peers"].items()
    ]
    parts += ["\n### Real parts, not moved by us: where their outlines lie\n"]
    parts += [
        "| product | n | by | still off p50 px | off > 2 px | off > 5 px | outlines agree |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in result["figures"]["real_parts"].items():
        for image in ("grey", "edges"):
            f = found[image]
            parts.append(
                f"| {name} | {found['n']} | {image} | {f['p50_off_px']:.1f} | {f['share_off_beyond_2_px']:.1%} "
                f"| {f['share_off_beyond_5_px']:.1%} | {f['outlines_agree']:.3f} |"
            )
    parts += ["\n### Refusals: good parts not calibrated on, and pictures that must be refused\n"]
    parts += ["| product | good refused | at most, 95% | bad pictures refused |", "|---|---|---|---|"]
    for name, found in result["figures"]["refusals"].items():
        bad = ", ".join(f"{kind} {share:.0%}" for kind, share in found["refused"].items())
        least = f"{found['good_refused_at_most']:.5f}"
        parts.append(f"| {name} | {found['n_good_refused']} of {found['n_good']} | {least} | {bad} |")
    return "\n".join(parts) + "\n"


def _bound(product: dict[str, Any], noise: str) -> str:
    """The Cramer-Rao bound is given at 2% and goes with the noise."""
    return f"{product['crlb_px'] * float(noise.rstrip('%')) / 2:.4f}"


def _head(*names: str) -> str:
    cells = [*names, *_HEADS]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def _row(product: str, condition: str, bound: str | None, figures: dict[str, Any]) -> str:
    cells = [product, condition] + ([] if bound is None else [bound])
    cells += [f"{figures[c]:.2f}" if c == "ms_per_frame" else f"{figures[c]:.4f}" for c in _COLUMNS]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())))
