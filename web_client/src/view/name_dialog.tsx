// Asks a listener's name when they first turn on a device: speaking needs one.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { messages } from '../i18n'
import type { CallModel } from '../state/call'
import { Dialog } from './dialog'
import { NAME_MAX_LENGTH } from './lobby_devices'

export function NameDialog({ call }: { call: CallModel }) {
  const text = messages.value
  const name = useSignal('')
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  const submit = (event: Event) => {
    event.preventDefault()
    if (name.value.trim() !== '') void call.answerName(name.value)
  }
  return (
    <Dialog title={text.nameToSpeakTitle} onClose={() => void call.answerName(null)}>
      <form onSubmit={submit}>
        <p class="hint" id="name-to-speak">
          {text.nameToSpeakHint}
        </p>
        <label class="field">
          <span class="visually-hidden">{text.yourName}</span>
          <input
            ref={field}
            value={name.value}
            maxLength={NAME_MAX_LENGTH}
            placeholder={text.namePlaceholder}
            autocomplete="name"
            aria-describedby="name-to-speak"
            required
            onInput={(event) => {
              name.value = event.currentTarget.value
            }}
          />
        </label>
        <button type="submit" class="button primary big">
          {text.continue}
        </button>
      </form>
    </Dialog>
  )
}
