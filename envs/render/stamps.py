"""Texts as small pictures.

Matplotlib takes about a millisecond to set a text, and most of the texts of a frame stood in the frame before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.text import Text

_MOST_STAMPS = 2048


class Stamp(NamedTuple):
    """A text that has been set."""

    left: int
    """Pixels from the anchor to the first column."""
    top: int
    """Pixels from the anchor up to the first row."""
    opacity: NDArray[np.float32]
    """Shape ``(rows, columns, 1)``, from 0 to 1."""
    colour: NDArray[np.float32]
    """Red, green and blue, from 0 to 255."""


class StampPress:
    """Sets each text once for its words, font, colour and alignment, and puts it wherever it is needed."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        """Opens a page for setting texts.

        Args:
            width: Width of the page (inches); no text may be wider than half of it.
            height: Height of the page (inches).
            dpi: Dots per inch.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        page = Figure(figsize=(width, height), dpi=dpi)
        canvas: Any = FigureCanvasAgg(page)
        self._renderer = canvas.get_renderer()
        self._anchor = round(width * dpi / 2), round(height * dpi / 2)
        self._text = page.text(0, 0, "")
        self._stamps: OrderedDict[tuple[Any, ...], Stamp | None] = OrderedDict()
        self._places: dict[Text, tuple[Any, int, int]] = {}

    def put(self, text: Text, pixels: NDArray[np.uint8]) -> None:
        """Puts a text on a picture of shape ``(rows, columns, 3)``, which it must not leave."""
        stamp = self._stamp(text)
        if stamp is None:
            return
        x, y = self._place(text)
        rows, columns, _ = stamp.opacity.shape
        top, left = pixels.shape[0] - y - stamp.top, x + stamp.left
        part = pixels[max(0, top) : top + rows, max(0, left) : left + columns]
        opacity = stamp.opacity[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
        part[:] = np.rint(part + (stamp.colour - part) * opacity)

    def _place(self, text: Text) -> tuple[int, int]:
        """Pixels of a text's anchor, from the left and from below; axes stay where they are, so it is kept."""
        position = text.get_unitless_position()
        kept = self._places.get(text)
        if kept is None or kept[0] != position:
            x, y = text.get_transform().transform(position)
            kept = self._places[text] = (position, round(x), round(y))
        return kept[1:]

    def _stamp(self, text: Text) -> Stamp | None:
        font, alignment = text.get_fontproperties(), (text.get_horizontalalignment(), text.get_verticalalignment())
        key = (text.get_text(), hash(font), text.get_color(), *alignment)
        if key in self._stamps:
            self._stamps.move_to_end(key)
            return self._stamps[key]
        if len(self._stamps) == _MOST_STAMPS:
            self._stamps.popitem(last=False)
        self._stamps[key] = stamp = self._set(text)
        return stamp

    def _set(self, text: Text) -> Stamp | None:
        from matplotlib.colors import to_rgb
        from matplotlib.transforms import IdentityTransform

        self._renderer.clear()
        self._text.update_from(text)
        self._text.set(transform=IdentityTransform(), position=self._anchor, text=text.get_text(), animated=False)
        self._text.draw(self._renderer)
        opacity = np.asarray(self._renderer.buffer_rgba())[..., 3]
        rows, columns = np.flatnonzero(opacity.any(axis=1)), np.flatnonzero(opacity.any(axis=0))
        if not rows.size:
            return None
        box = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, None].astype(np.float32) / np.float32(255)
        top = opacity.shape[0] - self._anchor[1] - int(rows[0])
        colour = np.array(to_rgb(text.get_color()), np.float32) * 255
        return Stamp(int(columns[0]) - self._anchor[0], top, box, colour)
