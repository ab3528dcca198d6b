"""Load tests: a swarm of clients against any server that speaks LiveKit's client protocol."""
