"""livekit-client's list of speakers: nobody stays in it who is not heard any more."""

from collections.abc import Collection

from tests.support.browsers import ChromiumTab, chromium, chromium_tab
from tests.support.livekit_js import LISTENER, join
from tests.support.server import Server

SPEAK = """async () => {
  const audio = new AudioContext();
  await audio.resume();
  const tone = audio.createOscillator();
  const out = audio.createMediaStreamDestination();
  tone.connect(out);
  tone.start();
  globalThis.tone = tone;
  const [track] = out.stream.getAudioTracks();
  await room.localParticipant.publishTrack(track, { source: 'microphone', dtx: false });
}"""

BE_SILENT = """() => room.localParticipant.audioTrackPublications.forEach(
  (publication) => room.localParticipant.unpublishTrack(publication.track, true))"""

NOT_HEAR = """(identity) => room.remoteParticipants.get(identity)
  .audioTrackPublications.forEach((publication) => publication.setSubscribed(false))"""

SPEAKERS_ARE = """(wanted) => {
  const flags = [...room.remoteParticipants.values()].filter((one) => one.isSpeaking);
  const same = (list) => list.map((one) => one.identity).sort().join() === wanted.join();
  return same(room.activeSpeakers) && same(flags);
}"""


async def test_nobody_stays_speaking_who_is_not_heard_any_more(server: Server) -> None:
    async with chromium() as browser:
        xan, yas, ada, cy = [await chromium_tab(browser) for _ in range(4)]
        for tab, identity in ((ada, "ada"), (cy, "cy")):
            await join(tab, server, identity, media=False, grants=LISTENER)
        for tab, identity in ((xan, "xan"), (yas, "yas")):
            await join(tab, server, identity, media=False)
            await tab.page.evaluate(SPEAK)
        for tab in (ada, cy):
            await speakers_are(tab, ("xan", "yas"))

        await cy.page.evaluate(NOT_HEAR, "xan")
        await speakers_are(cy, ("yas",))
        await speakers_are(ada, ("xan", "yas"))

        await yas.page.evaluate(BE_SILENT)
        await speakers_are(cy, ())
        await speakers_are(ada, ("xan",))

        await xan.page.evaluate("room.disconnect()")
        await ada.page.wait_for_function("room.remoteParticipants.size === 2", timeout=5000)
        await speakers_are(ada, ())


async def speakers_are(tab: ChromiumTab, identities: Collection[str]) -> None:
    await tab.page.wait_for_function(SPEAKERS_ARE, arg=list(identities), timeout=5000)
