"""The HTTP server: counts as JSON, streams and metrics, the page that shows them, and requests that count."""
