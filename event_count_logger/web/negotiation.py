"""Content negotiation with `Accept` and `Accept-Encoding` (RFC 9110, sections 12.5.1 and 12.5.3)."""

from __future__ import annotations

from collections.abc import Iterator


def prefers(accept: str, media_type: str, default: str) -> bool:
    """Returns whether a client names a media type, with a weight not below that of the default one.

    Parameters other than the weight are ignored, and so are malformed parts.
    """
    weights = dict(sorted(_weights(accept), key=lambda weight: weight[1]))
    wildcards = (f"{default.partition('/')[0]}/*", "*/*")
    of_default = next((weights[name] for name in (default, *wildcards) if name in weights), 0.0)
    return weights.get(media_type, 0.0) > 0 and weights[media_type] >= of_default


def accepts_gzip(accept_encoding: str) -> bool:
    """Returns whether a client names the encoding gzip, with a weight above 0."""
    return dict(_weights(accept_encoding)).get("gzip", 0.0) > 0


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    """Returns the choices in a header, in lower case, with their weights from 0 to 1."""
    for choice in accept.lower().split(","):
        name, *parameters = (part.strip() for part in choice.split(";"))
        weight = next((value for value in parameters if value.startswith("q=")), "q=1")
        try:
            yield name, float(weight.removeprefix("q="))
        except ValueError:
            continue
