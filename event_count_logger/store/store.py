"""One Redis database: the objects that read and change it."""

from __future__ import annotations

from event_count_logger.config import RedisConfig
from event_count_logger.logs import Log
from event_count_logger.store.alerts import Alerts
from event_count_logger.store.annotations import Annotations
from event_count_logger.store.client import Client
from event_count_logger.store.commits import Commits
from event_count_logger.store.keyspace import Keyspace
from event_count_logger.store.masters import Masters
from event_count_logger.store.reads import Reads
from event_count_logger.store.rotation import Rotator
from event_count_logger.store.servers import Servers
from event_count_logger.store.services import Services
from event_count_logger.store.sharded_reads import ShardedReads
from event_count_logger.store.sources import Sources
from event_count_logger.store.vitals import VitalsReader


class Store:
    """One Redis database. Threads may share it, and so may forked processes.

    Attributes:
        location: The address of Redis, for messages.
        identity: The database; see `RedisConfig.identity`.
        client: Requests, connections, the server's clock.
        commits: Counting.
        reads: Counts, history and totals of any group.
        shard_reads: The same of a group that is not split, or of one shard.
        rotation: Rotation of intervals.
        masters: Heartbeats of masters.
        vitals: Masters, starts of intervals and open sessions of a group, in one packet.
        services: Heartbeats of exporters and alerters.
        alerts: States of alerts, and notifications.
        annotations: Annotations that people and programs add.
        sources: Positions of sources.
        keyspace: Keys of a group and their types.
        servers: Settings and permissions of each server.
    """

    def __init__(self, config: RedisConfig, log: Log | None = None, timeout_s: float | None = None) -> None:
        """Does not connect; see `Client` for the arguments."""
        self.location = config.location
        self.identity = config.identity
        self.client = Client(config, log, timeout_s)
        self.commits = Commits(self.client)
        self.shard_reads = Reads(self.client)
        self.reads = ShardedReads(self.shard_reads)
        self.masters = Masters(self.client)
        self.vitals = VitalsReader(self.client)
        self.services = Services(self.client)
        self.alerts = Alerts(self.client)
        self.annotations = Annotations(self.client)
        self.sources = Sources(self.client)
        self.keyspace = Keyspace(self.client)
        self.rotation = Rotator(self.client, self.keyspace)
        self.servers = Servers(self.client)

    def close(self) -> None:
        """Close the idle connections; the next request makes new ones."""
        self.client.close()
