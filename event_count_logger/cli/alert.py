"""ecl alert: notifies people when finished intervals breach the limits of rules."""

from __future__ import annotations

import logging
import sys
import time

import click

from event_count_logger.alerts.acknowledgement import NotFiring, acknowledge
from event_count_logger.alerts.addresses import addresses, missing_package, send
from event_count_logger.alerts.alerter import Alerter
from event_count_logger.alerts.notification import test_notification
from event_count_logger.alerts.replay import replayed
from event_count_logger.alerts.target_checks import missing_programs
from event_count_logger.cli import completion
from event_count_logger.cli.alert_arguments import ACK, ack_name, ack_word, has_task, parse
from event_count_logger.cli.alert_check import check_alerts, print_prometheus_rules
from event_count_logger.cli.base import (
    ExitStatus,
    Failure,
    command,
    log_format_option,
    with_version,
)
from event_count_logger.cli.plugin import Plugin
from event_count_logger.cli.stop import Stop
from event_count_logger.config import AlertRule, Config, from_file
from event_count_logger.config.checks import Invalid, duration
from event_count_logger.config.choices import choices
from event_count_logger.logs import Log, counted
from event_count_logger.service import sighup
from event_count_logger.service.lifecycle import Service
from event_count_logger.service.log_format import LogFormat, set_up_logging
from event_count_logger.store import Store


class _Alert(Plugin):
    option = "--check"


@command(_Alert)
@click.argument(
    "arguments",
    nargs=-1,
    metavar="CONFIG [ack NAME]",
    shell_complete=completion.words(ack_word, ack_name, completion.nothing),
)
@click.option(
    "--for",
    "ack_for",
    metavar="TIME",
    help="With ack: duration of the acknowledgement, such as 2h; by default until the alert is resolved.",
)
@click.option(
    "--test",
    "tested",
    metavar="NAME",
    shell_complete=completion.option(completion.alerts),
    help="Send a test message to the targets of the alert NAME.",
)
@click.option(
    "--replay",
    metavar="TIME",
    help="Print what the rules would have sent in the last TIME, such as 24h.",
)
@click.option("--check", is_flag=True, help="Print one line, and exit, as a plugin of Nagios or Icinga.")
@click.option(
    "--only",
    "names",
    metavar="NAME",
    multiple=True,
    shell_complete=completion.option(completion.alerts),
    help="With --check: check this alert; may be repeated.",
)
@click.option("--prometheus-rules", is_flag=True, help="Print the rules as a rule file of Prometheus.")
@log_format_option
@with_version
def alert(
    arguments: tuple[str, ...],
    ack_for: str | None,
    tested: str | None,
    replay: str | None,
    check: bool,
    names: tuple[str, ...],
    prometheus_rules: bool,
    log_format: LogFormat,
) -> None:
    """Watch the rules in the section `alerts` of CONFIG, and send notifications.

    The command evaluates each finished interval once, also one that finished while it did not run. Any number
    of alerters may run at once: they share the work. The first SIGTERM or SIGINT stops the command
    gracefully, the second at once. SIGHUP reloads CONFIG.

    `ack NAME` acknowledges the firing alert NAME: its notification is not repeated until it is resolved, or
    until the time of --for is over.

    --test needs no Redis. --replay and --check evaluate the history, also without a running alerter. An
    acknowledgement does not change the state of --check: Nagios has its own. Alerts of a group that cannot be
    read are UNKNOWN.

    \b
    Example:
      $ ecl alert ecl.yml
      $ ecl alert ecl.yml ack 'many errors' --for 2h
      $ ecl alert ecl.yml --test 'many errors'
      $ ecl alert ecl.yml --replay 24h
      $ ecl alert ecl.yml --prometheus-rules >/etc/prometheus/ecl-rules.yml

    \b
    Exit status: 0 stopped or done; 1 CONFIG has no section `alerts`, unknown
    NAME, the alert does not fire (ack), or a test message was not sent; 2 wrong
    usage or configuration; 3 Redis is unreachable. The service waits for Redis.
    With --check: 0 OK; 1 WARNING; 2 CRITICAL; 3 UNKNOWN.
    ECL_CONFIG in the environment stands for CONFIG.
    """
    set_up_logging(log_format)
    config_file, acknowledged = parse(arguments)
    if ack_for is not None and acknowledged is None:
        raise click.UsageError(f"--for needs {ACK} NAME")
    if names and not check:
        raise click.UsageError("--only needs --check")
    tasks = {ACK: acknowledged, "--test": tested, "--replay": replay}
    if not has_task(tasks | {"--check": check, "--prometheus-rules": prometheus_rules}):
        _serve(config_file)
        return
    sighup.unblock()
    config = from_file(config_file)
    _require_alerts(config, config_file)
    if acknowledged is not None:
        _acknowledge(config, chosen_rule(config, acknowledged), _duration("--for", ack_for))
    elif tested is not None:
        _test(config, chosen_rule(config, tested))
    elif check:
        check_alerts(config, [chosen_rule(config, name) for name in names])
    elif prometheus_rules:
        print_prometheus_rules(config)
    else:
        for line in replayed(config, Store(config.redis), _duration("--replay", replay) or 0.0):
            print(line)


def _serve(config_file: str) -> None:
    """Run the service until a signal stops it."""
    service = Service(config_file, "alerts", _describe)
    _require_alerts(service.config, config_file)
    if missing := missing_package(service.config):
        raise Failure(missing, ExitStatus.USAGE)
    log = Log("event_count_logger.alert")
    log.logger.setLevel(logging.INFO)
    stop = Stop(service.stopping)
    alerter = Alerter(service.config, Store(service.config.redis, log), log)
    _log_start(service.config, log)

    def use(config: Config) -> None:
        if missing := missing_package(config):
            log.error("%s", missing)
        alerter.use(config)
        _log_start(config, log)

    try:
        while not stop.is_set:
            service.step(use)
            stop.wait(alerter.step(service.alive))
    finally:
        alerter.close()


def _log_start(config: Config, log: Log) -> None:
    log.info("Watching %s", _describe(config).removeprefix("watches "))
    for problem in missing_programs(config):
        log.warning("Notifications are not sent: %s", problem)


def _acknowledge(config: Config, rule: AlertRule, for_s: float | None) -> None:
    try:
        print(acknowledge(config, rule, for_s))
    except NotFiring as error:
        raise Failure(str(error), ExitStatus.UNKNOWN) from error


def _test(config: Config, rule: AlertRule) -> None:
    """Send a test message to each target of a rule, and print the results."""
    if not rule.notify:
        raise Failure(f"alert '{rule.name}' has no targets ('notify')", ExitStatus.UNKNOWN)
    reasons = []
    for address in addresses(config.notify, rule.notify):
        reasons.append(send(address, test_notification(rule, time.time())))
        print(f"target {address}: {'sent' if reasons[-1] is None else f'not sent: {reasons[-1]}'}")
    if any(reasons):
        sys.exit(ExitStatus.UNKNOWN)


def chosen_rule(config: Config, name: str) -> AlertRule:
    """Returns the rule of that name.

    Raises:
        Failure: There is none.
    """
    rule = next((rule for rule in config.alerts if rule.name == name), None)
    if rule is None:
        shown = choices(name, (each.name for each in config.alerts))
        raise Failure(f"there is no alert '{name}'{shown}", ExitStatus.UNKNOWN)
    return rule


def _require_alerts(config: Config, config_file: str) -> None:
    if not config.alerts:
        raise Failure(f"{config_file} has no section 'alerts'", ExitStatus.UNKNOWN)


def _duration(option: str, given: str | None) -> float | None:
    """Returns the seconds of a duration on the command line."""
    try:
        return None if given is None else duration(given)
    except Invalid as error:
        raise click.UsageError(f"{option}: {error}") from error


def _describe(config: Config) -> str:
    return f"watches {counted(len(config.alerts), 'alert')}"
