"""Routes that add and remove annotations, such as deployments, and return those of a range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from event_count_logger.config import GroupConfig
from event_count_logger.reading.times import InvalidTime
from event_count_logger.store import MOST_ANNOTATIONS, Annotation
from event_count_logger.web import annotation_documents, paths, request_bodies
from event_count_logger.web.documents import NOT_MODIFIED, IfNoneMatch, answer
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.problems import HTTPProblem, described
from event_count_logger.web.queries import Queries
from event_count_logger.web.recorder import Recorder
from event_count_logger.web.security import BEARER

#: Seconds by which an annotation may be ahead of now. A later one is a mistake, and would never be replaced.
_FURTHEST_S = 366 * 86400

_Group = Annotated[str | None, Query(description="Name of a group; default: the notes of all groups.")]
_ID = Annotated[str, Path(description="The `id` of an annotation of the kind `note`.")]
_Removed = Annotated[str | None, Query(description="Name of a group; default: all groups that have it.")]
_Interval = Annotated[
    str | None, Query(description="Interval whose alerts and irregularities are wanted, too.")
]
_Since = Annotated[
    str | None,
    Query(description="Start of the range: Unix seconds, ISO 8601, or a time before now such as `2h`."),
]
_Until = Annotated[str | None, Query(description="End of the range.")]


def router(queries: Queries, recorder: Recorder, body_reader: BodyReader) -> APIRouter:
    """Returns the routes."""
    handlers = _Handlers(queries, recorder, body_reader)
    routes = APIRouter(dependencies=[BEARER], responses=described(401, 404, 422, 503))
    routes.add_api_route(
        paths.ANNOTATIONS,
        handlers.add,
        methods=["POST"],
        status_code=201,
        response_model=annotation_documents.Added,
        responses=described(400, 413, 415),
        openapi_extra=request_bodies.NOTE.description,
    )
    routes.add_api_route(
        paths.ANNOTATIONS,
        handlers.between,
        response_model=annotation_documents.Annotations,
        responses=NOT_MODIFIED,
    )
    routes.add_api_route(
        paths.ANNOTATION, handlers.remove, methods=["DELETE"], status_code=204, response_class=Response
    )
    return routes


class _Handlers:
    """Handlers of these routes."""

    def __init__(self, queries: Queries, recorder: Recorder, body_reader: BodyReader) -> None:
        self._queries = queries
        self._recorder = recorder
        self._body_reader = body_reader

    async def add(self, request: Request) -> annotation_documents.Added:
        """Adds an annotation to a group, or to all groups that are not hidden."""
        sent = await request_bodies.NOTE.read(request, self._body_reader)
        name = sent.get("group")
        groups = self._groups(name)
        annotation = _annotation(sent, self._recorder.store.client.now())
        if not await self._recorder.annotate(groups, annotation):
            raise HTTPProblem(422, f"is older than {MOST_ANNOTATIONS:,} other annotations", "time")
        return annotation_documents.added(name, annotation)

    async def remove(self, id: _ID, group: _Removed = None) -> None:
        """Removes an annotation from a group, or from all groups that are not hidden."""
        if not await self._recorder.remove_annotation(self._groups(group), id):
            of_group = "" if group is None else f" of group {group!r}"
            raise HTTPProblem(404, f"there is no annotation {id!r}{of_group}")

    def _groups(self, name: str | None) -> Sequence[GroupConfig]:
        """Returns the group of a name; by default all that are not hidden."""
        return self._queries.groups_shown if name is None else [self._queries.group(name)]

    async def between(
        self,
        group: _Group = None,
        interval: _Interval = None,
        since: _Since = None,
        until: _Until = None,
        if_none_match: IfNoneMatch = "",
    ) -> Response:
        """Returns annotations; of an interval also alerts, and what is irregular in its history."""
        if group is not None:
            chosen = self._queries.group(group)
            if interval is not None:
                self._queries.interval(chosen, interval)
        elif interval is not None:
            raise HTTPProblem(422, "is missing, although there is an interval", "group")
        wanted = annotation_documents.Wanted(group, interval, since, until)
        try:
            found = await self._queries.annotations(wanted)
        except InvalidTime as error:
            raise HTTPProblem(422, str(error)) from error
        return answer(found, if_none_match)


def _annotation(sent: request_bodies.Note, now: float) -> Annotation:
    time, end = round(sent.get("time", now), 3), sent.get("end")
    end = None if end is None else round(end, 3)
    for field, value in (("time", time), ("end", end)):
        if value is not None and value > now + _FURTHEST_S:
            raise HTTPProblem(422, f"{value:.15g} is more than a year from now", field)
    if end is not None and end < time:
        raise HTTPProblem(422, f"{end:.15g} is before 'time' {time:.15g}", "end")
    return Annotation(time, sent["text"], end, tuple(sent.get("tags", ())))
