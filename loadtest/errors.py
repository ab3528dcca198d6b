"""What can go wrong with a load test, as sentences for whoever started it. Never with a secret."""


class LoadTestError(Exception):
    """The run cannot be made, or not be finished."""


class ScenarioError(LoadTestError):
    """A scenario file is wrong."""


class RefusedError(LoadTestError):
    """The server does not let a participant in."""
