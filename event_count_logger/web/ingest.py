"""Routes that count: events, and actions of sessions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from typing_extensions import TypedDict

from event_count_logger.counting.admission import Admission
from event_count_logger.errors import NotConfigured
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.sources.http_requests import KEPT_S
from event_count_logger.sources.sessions import checked_action
from event_count_logger.store import SessionAction
from event_count_logger.web import paths, request_bodies
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.problems import HTTPProblem, as_problem, described
from event_count_logger.web.recorder import Recorder
from event_count_logger.web.security import BEARER

_KEY = "[ -~]{1,255}"

_Wait = Annotated[Literal["0", "1"], Query(description="1: answer once Redis has confirmed the counts.")]
_Key = Annotated[
    str | None,
    Header(
        description=f"Makes a repeat of the request safe, for {KEPT_S / 3600:.0f} hours.",
        json_schema_extra={"pattern": f"^{_KEY}$"},
    ),
]


class Accepted(TypedDict):
    """Result of an accepted request. Counts that are not committed are kept by the server and sent later."""

    committed: bool


def router(recorder: Recorder, body_reader: BodyReader) -> APIRouter:
    """Returns the routes."""
    ingest = _Ingest(recorder, body_reader)
    responses = described(400, 401, 403, 404, 413, 415, 422, 503)
    routes = APIRouter(dependencies=[BEARER], responses=responses)

    def add(path: str, endpoint: Any, form: request_bodies.Form[Any], others: dict[int | str, Any]) -> None:
        routes.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            response_model=Accepted,
            responses=others,
            openapi_extra=form.description,
        )

    add(paths.EVENTS, ingest.events, request_bodies.EVENTS, {202: {"model": Accepted}, **described(409)})
    add(paths.SESSIONS, ingest.sessions, request_bodies.ACTION, {})
    return routes


class _Ingest:
    """Handlers of these routes."""

    def __init__(self, recorder: Recorder, body_reader: BodyReader) -> None:
        self._recorder = recorder
        self._body_reader = body_reader

    async def events(
        self,
        request: Request,
        response: Response,
        group: str,
        wait: _Wait = "0",
        idempotency_key: _Key = None,
    ) -> Accepted:
        """Counts events: all of them, or none."""
        chosen = self._recorder.group(group)
        given = request.headers.getlist("idempotency-key")
        if len(given) > 1 or not all(re.fullmatch(_KEY, key) for key in given):
            raise HTTPProblem(400, "Idempotency-Key: expected one, of 1 to 255 characters of printable ASCII")
        counts = (await request_bodies.EVENTS.read(request, self._body_reader))["events"]
        _admit(chosen, counts)
        if idempotency_key is None:
            committed = await self._recorder.count(chosen, counts, wait == "1")
        else:
            committed = await self._recorder.count_once(chosen, idempotency_key, counts)
            if not committed:
                raise HTTPProblem(409, f"Idempotency-Key: {idempotency_key!r} was used for other counts")
        response.status_code = 200 if committed else 202
        return {"committed": committed}

    async def sessions(self, request: Request, group: str) -> Accepted:
        """Counts an action of a session."""
        chosen = self._recorder.group(group)
        config = self._recorder.config.group(group)
        if config.sessions is None:
            raise NotConfigured(f"group '{group}' has no sessions")
        sent = await request_bodies.ACTION.read(request, self._body_reader)
        action = _checked_session(chosen, sent, self._recorder.store.client.now())
        await self._recorder.commit_action(chosen, action)
        return {"committed": True}


def _admit(group: RedisEventGroup, counts: dict[str, int]) -> None:
    """Admit all events under their own IDs, or none.

    Raises:
        HTTPProblem: An event is invalid or not declared, or all of them exceed the cardinality limit.
    """
    admission = group.admission
    fault = admission.fault(counts)
    if fault:
        faulty = _faulty(admission, list(counts))
        raise HTTPProblem(422, fault, "events" if faulty is None else f"events.{faulty}")
    for event_id, count in counts.items():
        if count:
            admission.counted_as(event_id)


def _faulty(admission: Admission, event_ids: list[str]) -> str | None:
    """Returns an event that is rejected by itself; None if only all of them exceed the cardinality limit."""
    while len(event_ids) > 1:
        half = event_ids[: len(event_ids) // 2]
        event_ids = half if admission.fault(half) else event_ids[len(half) :]
    return event_ids[0] if admission.fault(event_ids) else None


def _checked_session(group: RedisEventGroup, action: request_bodies.Action, now: float) -> SessionAction:
    event = action.get("event")
    with as_problem(422, "event"):
        if event is not None:
            _admit_session(group, event)
        elif action["action"] != "end":
            raise ValueError("is missing (only the action 'end' needs none)")
    with as_problem(422, "id"):
        return checked_action(action["id"], event, action["action"], action.get("time", now))


def _admit_session(group: RedisEventGroup, event: str) -> None:
    fault = group.admission.fault([event])
    if fault:
        raise ValueError(fault)
    group.admission.session_counted_as(event)
