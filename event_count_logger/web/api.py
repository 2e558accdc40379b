"""Routes that return counts, as JSON and as streams."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import TypeAdapter
from starlette.convertors import StringConvertor, register_url_convertor

from event_count_logger.reading import history_positions
from event_count_logger.reading.comparison import Against
from event_count_logger.reading.event_rows import Choice, InvalidRows, Order
from event_count_logger.reading.row_cursor import StaleCursor
from event_count_logger.reading.steps import MOST_INTERVALS
from event_count_logger.reading.times import InvalidTime
from event_count_logger.store import HistoryPosition
from event_count_logger.web import alerts, counts, paths, representations
from event_count_logger.web.documents import NOT_MODIFIED, IfNoneMatch, answer
from event_count_logger.web.event_stream import EventStream, described_events
from event_count_logger.web.negotiation import prefers
from event_count_logger.web.problems import described, problem
from event_count_logger.web.queries import ROWS, Queries, Selection
from event_count_logger.web.security import BEARER
from event_count_logger.web.streams import Hub

#: Most events in an answer, and most of them with a history that are not on the page.
MOST_ROWS, MOST_TOP = 10_000, 100

#: Most characters of a filter.
_LONGEST_FILTER = 1_000

#: The form of a position or time, for the description; see `history_positions.parse`.
_POSITION = r"^([0-9]{1,12}(\.[0-9]*)?|[0-9]{1,19}-[0-9]{1,19})$"


class _IntervalConvertor(StringConvertor):
    """The name of an interval in a path. Paths that count end with other words, and have other methods."""

    regex = "(?!(?:events|sessions)$)[^/]+"


_History = Annotated[
    int | None,
    Query(
        ge=0,
        le=MOST_INTERVALS,
        description="Number of finished intervals or steps, the newest ones; default: 60, or all of a range.",
    ),
]
_Since = Annotated[
    str | None,
    Query(description="First start in `history`: Unix seconds, ISO 8601, or a time before now such as `2h`."),
]
_Until = Annotated[str | None, Query(description="First start after those in `history`.")]
_Step = Annotated[
    str | None,
    Query(description="Length of time, such as `1h`, in which the intervals of `history` are added up."),
]
_Filter = Annotated[
    str,
    Query(
        max_length=_LONGEST_FILTER,
        description="Words that are all in the ID or the label of an event, ignoring case.",
    ),
]
_Event = Annotated[str | None, Query(description="ID of the only event to return.")]
_Order = Annotated[
    Order | None,
    Query(
        description="Order of the events, `-` for the largest first; default: as configured, then by name."
    ),
]
_Limit = Annotated[
    int | None,
    Query(ge=1, le=MOST_ROWS, description="Number of events; default: 100, or all in CSV."),
]
_Cursor = Annotated[str | None, Query(description="The `next` of the answer before, for the next events.")]
_Top = Annotated[
    int,
    Query(
        ge=0, le=MOST_TOP, description="Number of the largest or most changed events whose history to add."
    ),
]
_Compare = Annotated[Against | None, Query(description="Earlier time to compare with.")]
_Current = Annotated[bool, Query(description="False to leave out what changes before the interval finishes.")]
_Format = Annotated[
    Literal["json", "csv"] | None, Query(description="Format of the answer; takes precedence over `Accept`.")
]
_Accept = Annotated[str, Header(description="`text/csv` for the history in CSV.")]
_After = Annotated[
    str | None,
    Query(
        description="Start after this position, or time in Unix seconds.",
        json_schema_extra={"pattern": _POSITION},
    ),
]
_LastEventId = Annotated[
    str | None,
    Header(
        description="Position to resume after; takes precedence over `after`.",
        json_schema_extra={"pattern": _POSITION},
    ),
]


def router(queries: Queries, hub: Hub) -> APIRouter:
    """Returns the routes of groups, counts, streams and alerts."""
    api = _Api(queries, hub)
    routes = APIRouter(dependencies=[BEARER], responses=described(401, 503))
    finished = TypeAdapter(representations.FinishedInterval).json_schema()
    of_stream = described(400, 404) | described_events({"interval": finished})
    add = routes.add_api_route
    add(paths.GROUPS, api.groups, response_model=representations.Groups, responses=NOT_MODIFIED)
    of_counts = described(404, 409, 414, 422) | {200: {"content": {"text/csv": {}}}, **NOT_MODIFIED}
    register_url_convertor("interval", _IntervalConvertor())
    add(
        paths.COUNTS.replace("{interval}", "{interval:interval}"),
        api.counts,
        response_model=counts.Counts,
        responses=of_counts,
    )
    add(paths.STREAM, api.stream, response_class=Response, responses=of_stream)
    add(paths.ALERTS, api.alerts, response_model=alerts.Alerts, responses=NOT_MODIFIED)
    return routes


class _Api:
    """Handlers of these routes."""

    def __init__(self, queries: Queries, hub: Hub) -> None:
        self._queries = queries
        self._hub = hub

    async def groups(self, if_none_match: IfNoneMatch = "") -> Response:
        """Returns all groups that are not hidden, and the masters."""
        return answer(await self._queries.groups(), if_none_match)

    async def alerts(self, if_none_match: IfNoneMatch = "") -> Response:
        """Returns the state of each alert, in the order of the configuration."""
        return answer(await self._queries.alerts(), if_none_match)

    async def counts(
        self,
        group: str,
        interval: str,
        history: _History = None,
        since: _Since = None,
        until: _Until = None,
        step: _Step = None,
        filter: _Filter = "",
        event: _Event = None,
        order: _Order = None,
        limit: _Limit = None,
        cursor: _Cursor = None,
        top: _Top = 0,
        compare: _Compare = None,
        current: _Current = True,
        format: _Format = None,
        accept: _Accept = "",
        if_none_match: IfNoneMatch = "",
    ) -> Response:
        """Returns the last and the current interval, all-time totals and history."""
        chosen = self._queries.group(group)
        as_csv = format == "csv" or (format is None and prefers(accept, "text/csv", "application/json"))
        limit = ROWS if limit is None and not as_csv else limit
        choice = Choice(filter, order, limit, cursor, top, event)
        selection = Selection(history, since, until, step, compare, current, choice, as_csv)
        try:
            found = await self._queries.counts(chosen, self._queries.interval(chosen, interval), selection)
        except (InvalidTime, InvalidRows) as error:
            return problem(422, str(error))
        except StaleCursor as error:
            return problem(409, str(error))
        name = f"{chosen.name}-{interval}.csv"
        more = {"Content-Disposition": f"attachment; filename={name}"} if as_csv else {}
        return answer(found, if_none_match, {"Vary": "Accept", **more})

    async def stream(
        self, group: str, interval: str, after: _After = None, last_event_id: _LastEventId = None
    ) -> Response:
        """Streams each interval when it finishes, once and in order."""
        chosen = self._queries.group(group)
        chosen_interval = self._queries.interval(chosen, interval)
        try:
            position = _position("after", after)
            # A browser that reconnects sends the URL of its first request, with the old `after`.
            position = _position("Last-Event-ID", last_event_id) or position
        except ValueError as error:
            return problem(400, str(error))
        return EventStream(await self._hub.open(chosen, chosen_interval, position))


def _position(name: str, text: str | None) -> HistoryPosition | None:
    try:
        return None if text is None else history_positions.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
