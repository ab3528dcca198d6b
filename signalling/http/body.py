"""Request bodies: read as far as their limit, for as long as a patient client needs."""

import asyncio

from aiohttp import web

from sfu.limits import HTTP_BODY_TIMEOUT_S


class BodyTooLargeError(Exception):
    """More than `limit_bytes`. The rest has not been read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLargeError, or TimeoutError if it takes too long."""
    if (request.content_length or 0) > limit_bytes:
        raise BodyTooLargeError(limit_bytes)
    data = bytearray()
    async with asyncio.timeout(HTTP_BODY_TIMEOUT_S):
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > limit_bytes:
                raise BodyTooLargeError(limit_bytes)
    return bytes(data)
