"""The actions of a session: the words for them in the configuration, in requests and in Redis."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

#: A session starts, is alive, or ends.
ActionName: TypeAlias = Literal["start", "heartbeat", "end"]

#: All of them, in the order of a session's life.
ACTIONS: tuple[ActionName, ...] = get_args(ActionName)
