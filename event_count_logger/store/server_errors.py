"""Meaning and wording of the errors of Redis and of redis-py."""

from __future__ import annotations

import builtins
import re
import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

#: Errors that redis-py raises or lets through; some host names lead to ValueError. Other exceptions may come
#: from a signal handler, and are for the program.
FAILURES = (RedisError, OSError, ValueError)

READONLY = "READONLY"

#: Error codes of a server that answers but serves no client now, and their meaning. The request was not done;
#: UNBLOCKED is for clients that wait for a confirmation while the server becomes a replica.
_NOT_SERVING = {
    "LOADING": "it is loading its data",
    READONLY: "it is a read-only replica",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "its cluster is down",
    "BUSY": "it is busy with a script",
    "UNBLOCKED": "it has just become a replica",
}

#: redis-py takes the code out of the text of these errors.
_CODES: tuple[tuple[type[RedisError], str], ...] = (
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (ReadOnlyError, READONLY),
    (BusyLoadingError, "LOADING"),
)

#: The error code CLUSTERDOWN with these words concerns one slot only, which has no node.
_OF_ONE_SLOT = "Hash slot not served"

#: Prefix that Redis 6.2 adds to an error in a script.
_OF_SCRIPT = re.compile(r"^@user_script: \d+: -?")

#: Suffix that Redis 7 and Valkey add to it.
_BEHIND_SCRIPT = re.compile(r"\.? script: (?:\w+, )?on @user_script:\d+\.?\s*$")

#: The error for an unknown command. Redis appends the arguments, such as the whole text of a script.
_ARGUMENTS = re.compile(r"(unknown command '[^']*').*", re.DOTALL | re.IGNORECASE)

#: Errors of the ssl module where a server answers without TLS, or waits for a command.
_NO_TLS = re.compile("handshake operation timed out|WRONG_VERSION_NUMBER", re.IGNORECASE)

_UNKNOWN_COMMAND_HINT = " (renamed or disabled in the server's configuration, or the server is too old)"


#: Hint for a server where HELLO is renamed, or that is older than Redis 6.
_NO_HELLO_HINT = " ('protocol: 2' connects without it)"


def code_of_whole_server(error: BaseException | str) -> str:
    """Returns the code of an error that says that the server serves no client now; '' for any other."""
    if isinstance(error, ClusterDownError) and str(error) == _OF_ONE_SLOT:
        return ""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    # Scripts put words of their own before the code.
    words = [word.lstrip("-") for word in str(error).split()]
    return next((word for word in words if word in _NOT_SERVING), "")


def in_words(code: str) -> str:
    """Returns the meaning of such a code, such as `it is a read-only replica (READONLY)`."""
    return f"{_NOT_SERVING[code]} ({code})"


def plain(error: object) -> str:
    """Returns the text of an error of the server, without what Redis puts around it."""
    words = _BEHIND_SCRIPT.sub("", _OF_SCRIPT.sub("", str(error)))
    return _ARGUMENTS.sub(r"\1", words).strip()


def rejection_reason(error: BaseException) -> str:
    """Returns why a server rejects a request."""
    words = plain(error)
    return f"{words}{_UNKNOWN_COMMAND_HINT}" if _ARGUMENTS.match(words) else words


def is_rejection(error: BaseException) -> bool:
    """Returns whether an error while connecting says that the server accepts no connection with this
    configuration.
    """
    return isinstance(error, AuthenticationError | AuthorizationError | ResponseError)


def connection_rejection_reason(error: BaseException) -> str:
    """Returns why a server rejects a connection."""
    words = plain(error).rstrip(".")
    if isinstance(error, AuthenticationError):
        # The code NOAUTH is not in the text, which differs between versions of Redis and of its protocol.
        if words.startswith(("HELLO must be called", "Authentication required")):
            return "it requires a password, and none is configured ('password')"
        if "invalid" in words and "pass" in words:
            return "wrong user name or password ('username', 'password')"
    if "DB index" in words:
        return f"{words} ('db')"
    if words.startswith("unknown command 'HELLO'"):
        return f"{words}{_NO_HELLO_HINT}"
    return f"{words}{_UNKNOWN_COMMAND_HINT}" if _ARGUMENTS.match(words) else words


def failure_reason(error: BaseException) -> str:
    """Returns why a request found no answer, without the address, which the message names already."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return str(cause)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    if is_timeout(error):
        return "it did not answer in time"
    return plain(error).rstrip(".")


def is_timeout(error: BaseException) -> bool:
    """Returns True if an answer did not arrive in time."""
    return isinstance(error, TimeoutError | builtins.TimeoutError)


def tls_hint(error: BaseException, has_tls: bool) -> str:
    """Returns a hint in parentheses if an error while connecting may mean that only one side uses TLS."""
    for cause in _causes(error):
        if has_tls and _NO_TLS.search(str(cause)):
            return " (does the server use TLS? 'ssl')"
        if not has_tls and isinstance(cause, ConnectionResetError):
            return " (does the server require TLS? 'ssl')"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each:
        yield each
        each = each.__cause__ or each.__context__
