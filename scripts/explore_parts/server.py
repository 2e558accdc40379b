"""A Redis server in a dictionary, with the real Lua scripts and the commands that they and recovery use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from lupa import lua51

from event_count_logger.store.scripts import SCRIPTS

#: The Lua scripts that this server can run.
NAMES = ("commit", "prune", "touch")

_WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Server:
    """Runs one request at a time. Its clock stands still until `now` is set.

    Attributes:
        data: What is stored: strings, hashes and sets by their keys.
        rejected: Keys of counters that have a value of another type.
        now: Unix seconds.
    """

    def __init__(self, changed: Callable[[str, str], str] = lambda name, script: script) -> None:
        """`changed` is given the name and the text of each script, and returns the text to run."""
        self.data: dict[str, Any] = {}
        self.rejected: set[str] = set()
        self.now = 1_000_000
        self._lua = lua51.LuaRuntime()
        self._lua.globals().redis = self._lua.table(call=self._call, pcall=self._pcall)
        self._scripts = {}
        for name in NAMES:
            sha, text = (
                words_of(SCRIPTS[name].by_name.encode())[1],
                words_of(SCRIPTS[name].in_full.encode())[1],
            )
            self._scripts[sha] = self._lua.execute(f"return function(KEYS, ARGV) {changed(name, text)} end")

    def copy(self) -> dict[str, Any]:
        """Returns a copy of all data."""
        return {key: value if isinstance(value, str) else value.copy() for key, value in self.data.items()}

    def answer(self, request: bytes) -> Any:
        """Execute a request; returns what a connection would."""
        name, *words = words_of(request)
        if name == "EVALSHA":
            return _encoded(self._run(*words))
        return _encoded(self._command(name, *words))

    def _run(self, sha: str, n_keys: str, *words: str) -> Any:
        n = int(n_keys)
        tables = self._lua.table_from(words[:n]), self._lua.table_from(words[n:])
        return _from_lua(self._scripts[sha](*tables))

    def _call(self, name: str, *words: str) -> Any:
        reply = self._command(name, *words)
        if reply is None:
            return False
        return self._lua.table_from(reply) if isinstance(reply, list) else reply

    def _pcall(self, name: str, *words: str) -> Any:
        if name in ("INCRBY", "DECRBY") and words[0] in self.rejected:
            return self._lua.table(err=_WRONG_TYPE)
        return self._call(name, *words)

    def _command(self, name: str, *words: str) -> Any:
        return getattr(self, f"_{name.lower()}")(*words)

    def _time(self) -> list[str]:
        return [str(self.now), "0"]

    def _exists(self, *keys: str) -> int:
        return sum(key in self.data for key in keys)

    def _del(self, *keys: str) -> int:
        return sum(self.data.pop(key, None) is not None for key in keys)

    def _setnx(self, key: str, value: str) -> int:
        is_new = key not in self.data
        self.data.setdefault(key, value)
        return int(is_new)

    def _incrby(self, key: str, n: str) -> int:
        self.data[key] = str(int(self.data.get(key, 0)) + int(n))
        return int(self.data[key])

    def _decrby(self, key: str, n: str) -> int:
        return self._incrby(key, str(-int(n)))

    def _hget(self, key: str, field: str) -> str | None:
        value: str | None = self.data.get(key, {}).get(field)
        return value

    def _hmget(self, key: str, *fields: str) -> list[Any]:
        return [self.data.get(key, {}).get(field, False) for field in fields]

    def _hset(self, key: str, *words: str) -> int:
        found = self.data.setdefault(key, {})
        before = len(found)
        found.update(zip(words[::2], words[1::2], strict=True))
        return len(found) - before

    def _hdel(self, key: str, field: str) -> int:
        return self._remove(key, [field], lambda found: found.pop(field, None))

    def _hscan(self, key: str, *options: str) -> list[Any]:
        return ["0", [word for pair in self.data.get(key, {}).items() for word in pair]]

    def _sismember(self, key: str, member: str) -> int:
        return int(member in self.data.get(key, ()))

    def _smismember(self, key: str, *members: str) -> list[int]:
        return [self._sismember(key, member) for member in members]

    def _sadd(self, key: str, *members: str) -> int:
        found = self.data.setdefault(key, set())
        before = len(found)
        found.update(members)
        return len(found) - before

    def _srem(self, key: str, *members: str) -> int:
        return self._remove(key, members, lambda found: found.difference_update(members))

    def _remove(self, key: str, members: Any, remove: Callable[[Any], object]) -> int:
        """Remove members. A hash or set that becomes empty is deleted."""
        n = sum(member in self.data.get(key, ()) for member in members)
        if n:
            remove(self.data[key])
            if not self.data[key]:
                del self.data[key]
        return n


@lru_cache(maxsize=10_000)
def words_of(request: bytes) -> tuple[str, ...]:
    """Returns the words of a request or of a part of it; see `event_count_logger.store.resp`."""
    return tuple(_words(request, request.find(b"$")))


def _words(request: bytes, at: int) -> Iterator[str]:
    while at < len(request):
        begin = request.index(b"\r\n", at) + 2
        end = begin + int(request[at + 1 : begin - 2])
        yield request[begin:end].decode()
        at = end + 2


def _from_lua(value: Any) -> Any:
    """Convert the reply of a script: a list ends at the first nil, and `false` becomes None."""
    if lua51.lua_type(value) == "table":
        return [_from_lua(item) for item in value.values()]
    return None if value is False else value


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def counts(data: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """Returns the counts under keys with this prefix, by event."""
    found = {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}
    return {event: int(value) for event, value in found.items() if isinstance(value, str) and event != "@ts"}
