"""The HTTP side of the program: page, API, signalling endpoint, health and metrics on one port."""
