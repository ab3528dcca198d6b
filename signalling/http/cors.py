"""CORS for every answer, the refusals too.

Any origin may call: authority comes from tokens alone, never from cookies, so a foreign page can
do nothing that its visitor's machine could not do anyway. Browsers' SDKs need the headers on error
answers as well: a 404 without them looks like an unreachable server, and the SDK gives up.
"""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_METHODS = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"
_MAX_AGE_S = "86400"


HEADERS = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "*",
    hdrs.SERVER: "Kinguicall",  # not the versions of what it is built from
}


async def add_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """`on_response_prepare` handler."""
    response.headers.update(HEADERS)


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers a preflight for whatever path."""
    if request.method != hdrs.METH_OPTIONS:
        return await handler(request)
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            # "*" does not cover Authorization, so the names are repeated.
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: wanted or "*",
            hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE_S,
        },
    )
