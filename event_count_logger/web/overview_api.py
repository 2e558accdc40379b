"""Routes of the overview: all groups, the stream of their changes, and the search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import TypeAdapter

from event_count_logger.web import overview, paths, search
from event_count_logger.web.documents import NOT_MODIFIED, IfNoneMatch, answer
from event_count_logger.web.event_stream import EventStream, described_events
from event_count_logger.web.overview_feed import OverviewFeed
from event_count_logger.web.problems import described
from event_count_logger.web.queries import Queries
from event_count_logger.web.security import BEARER

#: Most events of a search, and characters of its words.
_MOST_FOUND, _LONGEST_SEARCH = 1000, 200

#: The page preloads the overview. When a browser goes back, it would take a stored answer for a new one.
_NOT_STORED = {"Cache-Control": "no-store"}

_After = Annotated[
    str | None, Query(description="Send the changes after this `revision`; default: all groups.")
]
_LastEventId = Annotated[
    str | None, Header(description="Revision to resume after; takes precedence over `after`.")
]
_Words = Annotated[
    str,
    Query(
        alias="filter",
        max_length=_LONGEST_SEARCH,
        description="Words, in upper or lower case, that the event or its group must all have.",
    ),
]
_Limit = Annotated[
    int, Query(ge=0, le=_MOST_FOUND, description="Number of events, the largest counts first.")
]

#: Schema of the data of an event that tells why Redis does not answer.
_UNAVAILABLE = {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}


def router(feed: OverviewFeed, queries: Queries) -> APIRouter:
    """Returns the routes."""
    handlers = _Overview(feed, queries)
    routes = APIRouter(dependencies=[BEARER], responses=described(401, 503))
    # The schemas that it refers to are those of the overview.
    change = TypeAdapter(overview.OverviewChange).json_schema(ref_template="#/components/schemas/{model}")
    del change["$defs"]
    of_stream = described_events({"overview": change, "unavailable": _UNAVAILABLE})
    add = routes.add_api_route
    add(paths.OVERVIEW, handlers.overview, response_model=overview.OverviewDocument, responses=NOT_MODIFIED)
    add(paths.OVERVIEW_STREAM, handlers.stream, response_class=Response, responses=of_stream)
    add(paths.SEARCH, handlers.search, response_model=search.Search, responses=described(414, 422))
    return routes


class _Overview:
    """Handlers of these routes."""

    def __init__(self, feed: OverviewFeed, queries: Queries) -> None:
        self._feed = feed
        self._queries = queries

    async def overview(self, if_none_match: IfNoneMatch = "") -> Response:
        """Returns one row for each group that is not hidden, those with problems first."""
        return answer(await self._feed.document(), if_none_match, _NOT_STORED)

    async def stream(self, after: _After = None, last_event_id: _LastEventId = None) -> Response:
        """Streams the rows that have changed, at most once per second."""
        return EventStream(await self._feed.open(last_event_id or after))

    async def search(self, words: _Words = "", limit: _Limit = 50) -> Response:
        """Returns the groups and events that match all words."""
        return Response(await self._queries.search(words, limit), media_type="application/json")
