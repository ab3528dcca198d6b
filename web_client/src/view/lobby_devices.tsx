// Getting ready to speak: name, microphone with a level bar, camera with a preview.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { messages } from '../i18n'
import { startLevelMeter } from '../media/level_meter'
import type { DeviceKind } from '../signal/engine'
import type { CallModel } from '../state/call'
import { initialsOf } from '../state/tiles'
import { LowDataRow } from './data_view'
import { ScreenTitle } from './frame'
import { Icon } from './icons'
import { NoticeBox } from './notice_box'

/** What the server accepts as a display name fits in this many characters. */
export const NAME_MAX_LENGTH = 40

export function LobbyDevices({ call, onBack }: { call: CallModel; onBack: () => void }) {
  const text = messages.value
  const nameMissing = useSignal(false)
  const nameField = useRef<HTMLInputElement>(null)
  const submit = (event: Event) => {
    event.preventDefault()
    nameMissing.value = call.name.value.trim() === ''
    if (nameMissing.value) nameField.current?.focus()
    else void call.joinAsSpeaker()
  }
  const { microphone, camera, notice } = call.devices
  const asking = microphone.value.kind === 'asking' || camera.value.kind === 'asking'
  return (
    <form class="card devices" onSubmit={submit} noValidate>
      <ScreenTitle>{text.speakTitle}</ScreenTitle>
      <CameraPreview call={call} />
      <div class="device-row">
        <DeviceButton call={call} kind="microphone" />
        <DeviceButton call={call} kind="camera" />
      </div>
      <div role="status" class="device-status">
        {asking && <p class="hint">{text.askingPermission}</p>}
        {microphone.value.kind === 'on' && <LevelBar track={microphone.value.track} />}
      </div>
      <NoticeBox notice={notice} />
      <label class="field">
        <span>{text.yourName}</span>
        <input
          ref={nameField}
          value={call.name.value}
          maxLength={NAME_MAX_LENGTH}
          placeholder={text.namePlaceholder}
          autocomplete="name"
          aria-invalid={nameMissing.value}
          aria-describedby="name-hint"
          onInput={(event) => {
            call.setName(event.currentTarget.value)
            nameMissing.value = false
          }}
        />
      </label>
      <p id="name-hint" class={nameMissing.value ? 'form-error' : 'hint'} role="status">
        {nameMissing.value ? text.nameNeeded : text.nameHint}
      </p>
      <LowDataRow call={call} />
      <button type="submit" class="button primary big">
        {text.join}
      </button>
      <p class="hint">{text.devicesOptional}</p>
      <button type="button" class="button quiet" onClick={onBack}>
        {text.backToListen}
      </button>
    </form>
  )
}

function DeviceButton({ call, kind }: { call: CallModel; kind: DeviceKind }) {
  const text = messages.value
  const state = call.devices[kind].value
  const on = state.kind === 'on'
  const label = {
    microphone: on ? text.turnOffMicrophone : text.turnOnMicrophone,
    camera: on ? text.turnOffCamera : text.turnOnCamera,
  }[kind]
  return (
    <button
      type="button"
      class={`button device ${on ? 'on' : ''}`}
      aria-disabled={state.kind === 'asking'}
      onClick={() => void call.devices.toggle(kind)}
    >
      <Icon name={on ? kind : `${kind}Off`} />
      {label}
    </button>
  )
}

function CameraPreview({ call }: { call: CallModel }) {
  const text = messages.value
  const video = useRef<HTMLVideoElement>(null)
  const state = call.devices.camera.value
  const track = state.kind === 'on' ? state.track : null
  useEffect(() => {
    if (video.current) video.current.srcObject = track && new MediaStream([track])
  }, [track])
  return (
    <div class="preview">
      {track ? (
        <video
          class="mirrored"
          ref={video}
          autoplay
          muted
          playsInline
          aria-label={text.cameraPreview}
        />
      ) : (
        <>
          <span class="initials hue-0" aria-hidden="true">
            {initialsOf(call.name.value) || <Icon name="cameraOff" />}
          </span>
          <span class="preview-label">{text.cameraIsOff}</span>
        </>
      )}
    </div>
  )
}

function LevelBar({ track }: { track: MediaStreamTrack }) {
  const text = messages.value
  const bar = useRef<HTMLDivElement>(null)
  useEffect(
    // Straight to the element: 20 renders a second would be waste.
    () => startLevelMeter(track, (level) => bar.current?.style.setProperty('--level', `${level}`)),
    [track],
  )
  return (
    <>
      <div class="level" ref={bar} role="img" aria-label={text.microphoneLevel} />
      <p class="hint">{text.microphoneWorks}</p>
    </>
  )
}
