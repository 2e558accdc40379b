"""Writes the pages; a folder as argument takes the place of docs."""

from __future__ import annotations

import sys
from pathlib import Path

from reference_parts import commands, configuration

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"configuration.md": configuration.page, "commands.md": commands.page}


def main(folder: Path) -> None:
    for name, page in PAGES.items():
        (folder / name).write_text(page())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else DOCS)
