// What a person in the call must know now, most urgent first, with one button
// where one helps. Announced to screen readers.

import { messages } from '../i18n'
import type { CallModel } from '../state/call'
import { explain } from '../state/errors'
import { Icon } from './icons'
import { NoticeBox } from './notice_box'
import { RemedyButton } from './remedy_button'

export function Banner({ call }: { call: CallModel }) {
  return (
    <div class="banners">
      <div role="alert">
        <Interruption call={call} />
      </div>
      {call.audioBlocked.value && <AudioBlocked call={call} />}
      <NoticeBox notice={call.notice} />
    </div>
  )
}

function Interruption({ call }: { call: CallModel }) {
  const text = messages.value
  const phase = call.phase.value
  if (phase.kind === 'reconnecting') return <p class="banner late">{text.reconnecting}</p>
  if (phase.kind === 'lost') {
    const { message, remedy } = explain(phase.error)
    return (
      <div class="banner urgent">
        <p>{text[message]}</p>
        <RemedyButton call={call} remedy={remedy} />
      </div>
    )
  }
  if (call.upgrading.value) return <p class="banner">{text.upgrading}</p>
  if (call.prompting.value) return <p class="banner late">{text.askingPermission}</p>
  return null
}

function AudioBlocked({ call }: { call: CallModel }) {
  return (
    <button type="button" class="button primary big" onClick={() => call.unlockAudio()}>
      <Icon name="sound" />
      {messages.value.tapToHear}
    </button>
  )
}
