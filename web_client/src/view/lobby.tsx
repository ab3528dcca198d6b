// Before joining: listen with one tap, or get microphone and camera ready.
// Nothing on this screen asks for a permission before its own button is tapped.

import { useSignal } from '@preact/signals'
import { messages } from '../i18n'
import type { CallModel } from '../state/call'
import { LowDataRow } from './data_view'
import { Frame, ScreenTitle } from './frame'
import { Icon } from './icons'
import { LobbyDevices } from './lobby_devices'

export function Lobby({ call }: { call: CallModel }) {
  const withDevices = useSignal(false)
  const back = () => {
    call.devices.stop()
    withDevices.value = false
  }
  return (
    <Frame>
      {withDevices.value ? (
        <LobbyDevices call={call} onBack={back} />
      ) : (
        <Welcome
          call={call}
          onDevices={() => {
            withDevices.value = true
          }}
        />
      )}
    </Frame>
  )
}

/** A stranger's words, in quotation marks and said to be a stranger's. */
function Invitation({ subject }: { subject: string }) {
  const text = messages.value
  return (
    <figure class="invitation">
      <figcaption>{text.inviterWrites}</figcaption>
      <blockquote>
        <bdi>{text.quoted(subject)}</bdi>
      </blockquote>
    </figure>
  )
}

function Welcome({ call, onDevices }: { call: CallModel; onDevices: () => void }) {
  const text = messages.value
  return (
    <section class="card welcome">
      <ScreenTitle>{text.invited}</ScreenTitle>
      {call.invitation !== '' && <Invitation subject={call.invitation} />}
      <button type="button" class="button primary huge" onClick={() => void call.listen()}>
        <Icon name="headphones" />
        {text.listen}
      </button>
      <p class="hint">{text.listenHint}</p>
      <button type="button" class="button" onClick={onDevices}>
        <Icon name="microphone" />
        {text.joinWithDevices}
      </button>
      <LowDataRow call={call} />
    </section>
  )
}
