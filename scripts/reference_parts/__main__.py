"""Program that writes the generated pages, and the generated parts of other files."""

from __future__ import annotations

from pathlib import Path

from reference_parts import api, commands, configuration, example, http_api, man

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "docs/api.md": api.page,
    "docs/configuration.md": configuration.page,
    "docs/commands.md": commands.page,
    "docs/http-api.md": http_api.page,
    "example_config.yml": example.page,
    **{f"docs/man/{name}": page for name, page in man.pages().items()},
}


def main() -> None:
    for name, page in PAGES.items():
        path = ROOT / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(page())


if __name__ == "__main__":
    main()
