"""The route that counts sessions of dashboards, for the Grafana panel macropower-analytics-panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from event_count_logger.config.session_actions import ActionName
from event_count_logger.errors import NotConfigured
from event_count_logger.groups.redis_group import RedisEventGroup
from event_count_logger.logs import Log
from event_count_logger.sources import grafana_panel
from event_count_logger.sources.sessions import checked_action
from event_count_logger.store import SessionAction
from event_count_logger.web import paths, request_bodies
from event_count_logger.web.json_body import BodyReader
from event_count_logger.web.problems import HTTPProblem, as_problem, described
from event_count_logger.web.recorder import Recorder
from event_count_logger.web.security import BEARER


class SessionLog(Log):
    """A log of payloads, one line each."""

    def __init__(self, with_payloads: bool = True, with_variables: bool = True) -> None:
        """Logs payloads, and in them the variables of dashboards, if requested; always logs warnings."""
        super().__init__("event_count_logger.sessions")
        self._with_payloads = with_payloads
        self._with_variables = with_variables

    def log_payload(self, payload: Mapping[str, Any]) -> None:
        """Log a payload."""
        if self._with_payloads:
            self.info("Session data: %s", grafana_panel.as_line(payload, self._with_variables))


def router(recorder: Recorder, body_reader: BodyReader, log: SessionLog) -> APIRouter:
    """Returns the route. Its path is that of the panel's own server."""
    routes = APIRouter(dependencies=[BEARER], responses=described(400, 401, 403, 404, 413, 503))
    routes.add_api_route(
        paths.PANEL,
        _Grafana(recorder, body_reader, log).write,
        methods=["POST"],
        status_code=201,
        response_class=Response,
        openapi_extra=request_bodies.PAYLOAD.description,
    )
    return routes


class _Grafana:
    """Handler of this route."""

    def __init__(self, recorder: Recorder, body_reader: BodyReader, log: SessionLog) -> None:
        self._recorder = recorder
        self._body_reader = body_reader
        self._log = log

    async def write(self, request: Request) -> Response:
        """Counts an action of the session of a dashboard; drafts are only logged."""
        payload = await request_bodies.PAYLOAD.read(request, self._body_reader)
        group, action = self._counted(payload)
        if grafana_panel.is_saved(payload):
            with as_problem(400, "event"):
                await self._recorder.record_action(group, action)
        self._log.log_payload(payload)
        return Response(status_code=201)

    def _counted(self, payload: request_bodies.Payload) -> tuple[RedisEventGroup, SessionAction]:
        """Returns the group and the session action of a payload."""
        try:
            name, event = grafana_panel.destination(self._recorder.config, payload)
        except grafana_panel.MissingValue as error:
            raise HTTPProblem(400, str(error), error.path) from error
        group = self._recorder.group(name)
        sessions = self._recorder.config.group(name).sessions
        if sessions is None:
            raise NotConfigured(f"group '{name}' has no sessions")
        with as_problem(400, "uuid"):
            action = checked_action(payload["uuid"], event, "heartbeat", payload["time"])
        timeout_s = grafana_panel.timeout_s(sessions, payload)
        return group, action._replace(name=self._action_name(payload), timeout_s=timeout_s)

    def _action_name(self, payload: request_bodies.Payload) -> ActionName:
        name = grafana_panel.action_name(payload)
        if name is None:
            self._log.warning(
                "Session %.100r: unknown type %.100r, treated as a heartbeat",
                payload["uuid"],
                payload.get("type"),
            )
        return name or "heartbeat"
