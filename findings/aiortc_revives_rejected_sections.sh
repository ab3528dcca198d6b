#!/usr/bin/env bash
# aiortc 1.16.0 answers a rejected m-section with a live one, and bundles it.
#
# An offerer that gives a section up sets its port to 0 and takes its mid out of the BUNDLE group. The
# answer has to say port 0 as well (RFC 3264, section 6), and its group may name only mids of the
# offer's group (RFC 8843, section 7.3). aiortc answers as if nothing had been said: a port of its own,
# `recvonly`, and the mid in the group again. Between two aiortc peers the connection comes up all the
# same, so nobody notices.
#
# Seen on 29 November 2026 with Python 3.11, aiortc 1.16.0, aioice 0.13.0, av 18.1.0:
#     offer   group 0    m=audio 9 m=video 0
#     answer  group 0 1  m=audio PORT m=video PORT a=recvonly
#     the offerer is connected
#
# For us: an answer's section stays rejected where our offer rejected it, whatever the answer says.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check aiortc==1.16.0 aioice==0.13.0 av==18.1.0

"$place/venv/bin/python" - <<'PYTHON'
import asyncio
import re

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack


def give_up_video(offer: str) -> str:
    session, audio, video = re.split(r"(?=^m=)", offer, flags=re.MULTILINE)
    session = re.sub(r"^a=group:BUNDLE .*?(\r?)$", r"a=group:BUNDLE 0\1", session, flags=re.MULTILINE)
    return session + audio + re.sub(r"^m=video \d+", "m=video 0", video)


async def main() -> None:
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    offerer.addTrack(AudioStreamTrack())
    offerer.addTrack(VideoStreamTrack())
    await offerer.setLocalDescription(await offerer.createOffer())
    offer = give_up_video(offerer.localDescription.sdp)
    await answerer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await answerer.setLocalDescription(await answerer.createAnswer())
    answer = answerer.localDescription.sdp
    await offerer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    for _ in range(100):
        if offerer.connectionState == "connected":
            break
        await asyncio.sleep(0.1)
    group = re.search(r"^a=group:BUNDLE (.*?)\r?$", answer, re.MULTILINE)[1]
    video = re.search(r"^m=video (\d+)(?:.|\n)*?^a=(sendrecv|recvonly|sendonly|inactive)\r?$", answer, re.MULTILINE)
    print(f"answer: group {group}, m=video {'0' if video[1] == '0' else 'PORT'}, {video[2]}; {offerer.connectionState}")
    assert group == "0 1", group
    assert video[1] != "0" and video[2] == "recvonly", video[0]
    assert offerer.connectionState == "connected", offerer.connectionState
    await offerer.close()
    await answerer.close()


asyncio.run(main())
PYTHON
echo "as described: aiortc 1.16.0 still answers a rejected section with a live one"
