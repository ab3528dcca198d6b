"""Helpers that several test folders share: the server as a process, browsers, foreign clients."""
