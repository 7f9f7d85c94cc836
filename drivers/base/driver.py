"""What drivers of all kinds share."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from vmmgr.rendering import Renderer


class Driver(ABC):
    """What all drivers share: they are made with the renderer of the site's templates.

    Attributes:
        folder: The folder of the driver's templates.
        templates: The names of those that it needs in a folder of its own; the others are in one that is named in the code.
    """

    folder: ClassVar[str]
    templates: ClassVar[tuple[str, ...]] = ()

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer

    @classmethod
    def check_templates(cls, renderer: Renderer) -> None:
        """Make sure that there are the templates that are the driver's own.

        Raises:
            TemplateError: One is missing or cannot be read.
        """
        for name in cls.templates:
            renderer.check(f"{cls.folder}/{name}")
