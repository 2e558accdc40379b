"""Program that writes docs/configuration.md, docs/commands.md and example_config.yml."""

from __future__ import annotations

from pathlib import Path

from reference_parts import commands, configuration, example

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "docs/configuration.md": configuration.page,
    "docs/commands.md": commands.page,
    "example_config.yml": example.page,
}


def main() -> None:
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())


if __name__ == "__main__":
    main()
