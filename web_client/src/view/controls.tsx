// The bar under the stage: microphone, camera, low data, invite, leave.

import { messages } from '../i18n'
import type { DeviceKind } from '../signal/engine'
import type { CallModel } from '../state/call'
import { LowDataControl } from './data_view'
import { Icon } from './icons'

export function Controls({ call, onShare }: { call: CallModel; onShare: () => void }) {
  const text = messages.value
  return (
    <footer class="controls">
      <DeviceControl call={call} kind="microphone" shortcut="M" />
      <DeviceControl call={call} kind="camera" shortcut="V" />
      <LowDataControl call={call} />
      <button type="button" class="control" onClick={onShare}>
        <Icon name="invite" />
        <span>{text.share}</span>
      </button>
      <button type="button" class="control leave" onClick={() => void call.leave()}>
        <Icon name="leave" />
        <span>{text.leave}</span>
      </button>
    </footer>
  )
}

interface DeviceProps {
  readonly call: CallModel
  readonly kind: DeviceKind
  readonly shortcut: string
}

function DeviceControl({ call, kind, shortcut }: DeviceProps) {
  const text = messages.value
  const on = kind === 'microphone' ? call.microphoneOn.value : call.cameraOn.value
  const action = {
    microphone: on ? text.turnOffMicrophone : text.turnOnMicrophone,
    camera: on ? text.turnOffCamera : text.turnOnCamera,
  }[kind]
  const unavailable = call.phase.value.kind !== 'inCall' || call.busy.value !== null
  return (
    <button
      type="button"
      class={`control device ${on ? 'on' : 'off'}`}
      aria-label={action}
      aria-disabled={unavailable}
      aria-keyshortcuts={shortcut}
      title={`${action} (${shortcut})`}
      onClick={() => void call.toggle(kind)}
    >
      <Icon name={on ? kind : `${kind}Off`} />
      <span aria-hidden="true">{text[kind]}</span>
    </button>
  )
}
