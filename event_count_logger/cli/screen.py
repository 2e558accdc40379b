"""The loop of `ecl top` on a terminal: keys change the view; keys and new answers redraw it."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console, ConsoleDimensions, Group

from event_count_logger.cli.keyboard import Keyboard
from event_count_logger.config import Config
from event_count_logger.render import top as render
from event_count_logger.render.top_keys import help_lines
from event_count_logger.store import Store
from event_count_logger.top.sample import Listing, Sample, Sampler, targets
from event_count_logger.top.view import Frame, View, press, sorted_events
from event_count_logger.top.watcher import Watcher

#: Seconds after which the screen is redrawn without an event, because it shows the age of values.
_DRAW_S = 1.0


def show(config: Config, view: View, delay_s: float, reads: int | None) -> None:
    """Show the screen until the user quits, or for a number of reads.

    Args:
        config: The configuration; its hidden groups are not shown.
        view: The first view.
        delay_s: Seconds between two reads.
        reads: Number of reads; None for no limit.
    """
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    choices, names = targets(config), [group.name for group in config.shown_groups]
    with (
        Keyboard(sys.stdin.fileno()) as keyboard,
        Watcher(Sampler(config, Store(config.redis)), view.target, delay_s, keyboard.wake) as watcher,
        console.screen() as screen,
    ):
        while not view.has_quit:
            answer = watcher.answer
            events = sorted_events(view, answer.found) if isinstance(answer.found, Sample) else []
            size = _window().with_alerts(answer)
            console.size = ConsoleDimensions(size.width, size.height)
            screen.update(Group(*render.screen(view, answer, events, size, time.monotonic())))
            if answer.reads == reads:
                return
            listed = answer.found.groups if isinstance(answer.found, Listing) else names
            for key in keyboard.wait(_DRAW_S):
                n_rows = len(help_lines(size.width) if view.help_page else events)
                view = press(view, key, Frame(choices, n_rows, size.rows, listed))
            watcher.look_at(view.target)


def _window() -> render.Size:
    """Returns the size of the terminal; 80 x 24 if it is unknown."""
    width, height = os.get_terminal_size(sys.stdout.fileno())
    return render.Size(width or 80, height or 24)
