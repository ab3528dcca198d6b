"""A media node: rooms, participants, tracks and subscriptions over the native engine.

Python decides what happens when a person or a node does something; the engine (`sfu._core`, Rust)
does what happens for every packet. Nothing in this package speaks a wire protocol.
"""
