// The one button that goes with an error.

import { messages } from '../i18n'
import type { CallModel } from '../state/call'
import type { Remedy } from '../state/errors'
import { navigate } from '../state/route'
import { Icon } from './icons'

export function RemedyButton({ call, remedy }: { call: CallModel; remedy: Remedy }) {
  const text = messages.value
  const [label, act] = {
    retry: [text.retry, () => void call.rejoin()],
    rejoin: [text.rejoin, () => void call.rejoin()],
    reload: [text.reload, () => location.reload()],
    home: [text.goHome, () => navigate({ kind: 'home' })],
    dismiss: [text.backToListen, () => call.cancel()],
  }[remedy] as [string, () => void]
  return (
    <button type="button" class="button primary big" onClick={act}>
      {remedy !== 'home' && <Icon name="headphones" />}
      {label}
    </button>
  )
}
