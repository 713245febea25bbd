"""What a bundle carries to read printed machine parameters: the layout, its reference picture, the reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.bundle import LAYOUT, LAYOUT_PICTURE, READER
from engines.reader import default_model
from schemas.errors import InputError
from schemas.layout import Layout, decode_layout, encode_layout


@dataclass(frozen=True, slots=True, eq=False)
class FieldMembers:
    """A layout, its picture as PNG bytes, and the file they came from (for messages)."""

    layout: Layout
    picture_png: bytes
    name: str

    @classmethod
    def open(cls, path: Path) -> FieldMembers:
        """The layout at `path` with the picture it names.

        Raises: SetupError when the TOML is wrong; InputError when a file is missing or its picture is of another size.
        """
        try:
            layout = decode_layout(path.read_bytes(), str(path))
            beside = path.parent / layout.picture
            members = cls(layout, beside.read_bytes(), str(path))
        except OSError as exc:
            raise InputError(f"layout {path} cannot be read: {exc}; find it with `sightline layout`") from exc
        members.reference()
        return members

    def reference(self) -> NDArray[np.uint8]:
        """(H, W) uint8, the layout's picture. Raises: InputError when it is not one of the layout's size."""
        picture = cv2.imdecode(np.frombuffer(self.picture_png, np.uint8), cv2.IMREAD_GRAYSCALE)
        size = None if picture is None else (picture.shape[1], picture.shape[0])
        if picture is None or size != self.layout.frame_size_px:
            raise InputError(
                f"{self.layout.picture} beside {self.name} is {size}, the layout says {self.layout.frame_size_px}: "
                "find the layout again with `sightline layout`"
            )
        return np.asarray(picture, np.uint8)

    def check(self, product: str, frame_size_px: tuple[int, int]) -> None:
        """Raises: InputError when the layout belongs to another product or to frames of another size."""
        if self.layout.product != product:
            raise InputError(
                f"{self.name} is the layout of product {self.layout.product!r}, not of {product!r}: correct its "
                "product if it fits, or find the layout again"
            )
        if self.layout.frame_size_px != frame_size_px:
            raise InputError(
                f"{self.name} is for frames of {self.layout.frame_size_px} px, the pictures are {frame_size_px}: find "
                "the layout on these pictures"
            )

    def members(self) -> dict[str, bytes]:
        """Files for the bundle, by name."""
        layout = self.layout.model_copy(update={"picture": LAYOUT_PICTURE})
        return {LAYOUT: encode_layout(layout), LAYOUT_PICTURE: self.picture_png, READER: default_model()}
