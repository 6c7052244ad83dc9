"""What a cluster looks like: one frame of facts, drawn as text or as an image."""

from __future__ import annotations

from psgym.envs.render.frame import Frame, take_frame
from psgym.envs.render.image import ImageRenderer
from psgym.envs.render.text import draw_text
from psgym.envs.render.window import Window

__all__ = ["Frame", "ImageRenderer", "Window", "draw_text", "take_frame"]
