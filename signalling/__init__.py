"""Everything that speaks HTTP or WebSocket with the outside: pages, tokens, signalling sessions."""
