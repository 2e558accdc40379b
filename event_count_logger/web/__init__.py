"""The HTTP server: counts as JSON, as a stream and as metrics, and the page that shows them."""
