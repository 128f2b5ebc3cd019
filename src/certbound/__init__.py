"""OAuth 2.0 mutual TLS (RFC 8705) for Python: authorization server, guard, client, and the TLS under them."""

__version__ = "0.1.0.dev0"
