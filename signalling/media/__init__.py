"""Peer connections for whatever protocol brings the descriptions: what comes in, what goes out.

`Connection` is a transport in the engine; `Receiving` are the tracks that a client sends on it,
`Sending` those that it gets. `Answering` puts them together where the client offers. A protocol
beside them announces tracks, decides when descriptions are exchanged, and carries them.
"""
