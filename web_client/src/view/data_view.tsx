// Data paid by the megabyte: the low-data switch, and what the call has cost so far.

import { language, messages } from '../i18n'
import { dataSize } from '../i18n/data_size'
import type { CallModel } from '../state/call'

/** In the call's bar, with its shortcut. */
export function LowDataControl({ call }: { call: CallModel }) {
  const text = messages.value
  return (
    <button
      type="button"
      role="switch"
      class="control"
      aria-checked={call.data.on.value}
      aria-keyshortcuts="D"
      title={`${text.lowData} (D). ${text.lowDataHint}`}
      onClick={() => call.toggleLowData()}
    >
      <span class="switch" aria-hidden="true" />
      <span>{text.lowData}</span>
    </button>
  )
}

/** Before the call, with what it means. */
export function LowDataRow({ call }: { call: CallModel }) {
  const text = messages.value
  return (
    <button
      type="button"
      role="switch"
      class="low-data"
      aria-checked={call.data.on.value}
      aria-label={text.lowData}
      aria-describedby="low-data-hint"
      onClick={() => call.toggleLowData()}
    >
      <span>
        <strong>{text.lowData}</strong>
        <span id="low-data-hint" class="hint">
          {text.lowDataHint}
        </span>
      </span>
      <span class="switch" aria-hidden="true" />
    </button>
  )
}

/** Not a live region: nobody wants to hear it every few seconds. */
export function DataSpent({ call }: { call: CallModel }) {
  const size = dataSize(call.data.spent_bytes.value, language.value)
  const words = messages.value.dataSpent(size)
  return (
    <span class="chip data-spent" title={words}>
      <span aria-hidden="true">{size}</span>
      <span class="visually-hidden">{words}</span>
    </span>
  )
}
