"""How Sphinx makes the documentation: `script/docs`, without warnings."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "vm-mgr"
author = "the authors of vm-mgr"
copyright = author  # noqa: A001 - Sphinx calls it so
version = release = installed("vm-mgr")

extensions = ["parsers"]
exclude_patterns = ["extensions", "_build"]
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "description": "Highly available virtual machines, over SSH"}
html_show_sourcelink = False
man_pages = [("vm-mgr", "vm-mgr", "manage highly available virtual machines over SSH", [], 1)]
