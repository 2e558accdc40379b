"""Commands to each server of a database: settings, version, process, permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from event_count_logger import keys
from event_count_logger.config import GroupConfig
from event_count_logger.errors import Rejected, Unavailable
from event_count_logger.store.client import Client
from event_count_logger.store.node import Node
from event_count_logger.store.resp import pairs, text


class Servers:
    """The servers of one Redis database."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ping(self) -> None:
        """Raises Unavailable or Rejected unless every server serves."""
        for node in self._client.route.primaries():
            node.ask("PING")

    def settings(self) -> Mapping[str, Mapping[str, str]]:
        """Returns the settings of each server that affect counts, by its location.

        `server` and `version` are there where INFO is allowed; `maxmemory`, `maxmemory-policy`, `appendonly`
        and `save` where CONFIG is.

        Raises:
            Unavailable: No answer.
        """
        return {node.location: _settings(node) for node in self._client.route.primaries()}

    def pid(self) -> int:
        """Returns the process ID of the only server."""
        (node,) = self._client.route.primaries()
        return int(_info(node)["process_id"])

    def shut_down(self) -> None:
        """Ask the server to save its data and to end."""
        with suppress(Unavailable):  # the server closes the connection in place of an answer
            self._client.ask("SHUTDOWN")

    def probe(self, group: GroupConfig) -> Sequence[str]:
        """Try every command that counting needs on a scratch key; returns the errors."""
        key = keys.probe(group.prefix)
        errors = [text(error) for error in self._client.run("probe", [key], [])]
        for command in ("PING", *self._client.route.commands):
            try:
                self._client.ask(command, key=key)
            except Rejected as error:
                errors.append(str(error))
        return errors


def _settings(node: Node) -> Mapping[str, str]:
    found: dict[str, str] = {}
    with suppress(Rejected):
        info = _info(node)
        server = "Valkey" if "valkey_version" in info else "Redis"
        found = {"server": server, "version": info[f"{server.lower()}_version"]}
    for name in ("maxmemory", "maxmemory-policy", "appendonly", "save"):
        with suppress(Rejected):
            reply = pairs(node.ask("CONFIG", "GET", name))
            found |= {text(key): text(value) for key, value in reply.items()}
    return found


def _info(node: Node) -> Mapping[str, str]:
    lines = text(node.ask("INFO", "server")).splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
