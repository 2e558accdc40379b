"""The loop of `ecl top` on a terminal: keys change the view, answers and keys draw it."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console, ConsoleDimensions, Group

from event_count_logger.cli.keyboard import Keyboard
from event_count_logger.config import Config
from event_count_logger.render import top as render
from event_count_logger.store import Store
from event_count_logger.top.sample import Sample, Sampler, targets
from event_count_logger.top.view import Frame, View, arranged, press
from event_count_logger.top.watcher import Watcher

#: Seconds after which it is drawn again though nothing happened, because values get older.
_DRAW_S = 1.0


def show(config: Config, view: View, delay_s: float, reads: int | None) -> None:
    """Show it until somebody leaves, or for so many reads.

    Args:
        config: Its groups can be looked at, but for the hidden ones.
        view: What to begin with.
        delay_s: Seconds between two reads.
        reads: How many; None for no end.
    """
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    choices = targets(config)
    with (
        Keyboard(sys.stdin.fileno()) as keyboard,
        Watcher(Sampler(config, Store(config.redis)), view.target, delay_s, keyboard.wake) as watcher,
        console.screen() as screen,
    ):
        while not view.left:
            answer = watcher.answer
            events = arranged(view, answer.found) if isinstance(answer.found, Sample) else []
            size = _window()
            console.size = ConsoleDimensions(size.width, size.height)
            screen.update(Group(*render.screen(view, answer, events, choices, size, time.monotonic())))
            if answer.reads == reads:
                return
            for key in keyboard.wait(_DRAW_S):
                view = press(view, key, Frame(choices, len(events), size.rows))
            watcher.look_at(view.target)


def _window() -> render.Size:
    """As large as it is now; a terminal that does not know its size has the usual one."""
    width, height = os.get_terminal_size(sys.stdout.fileno())
    return render.Size(width or 80, height or 24)
