// The call's screen: who is in it, the stage, banners, controls.

import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { messages } from '../i18n'
import { keepScreenOn } from '../media/wake_lock'
import type { CallModel } from '../state/call'
import { ShareModel } from '../state/share'
import { shortcutOf } from '../state/shortcuts'
import { Banner } from './banner'
import { Controls } from './controls'
import { DataSpent } from './data_view'
import { Dialog } from './dialog'
import { HelpDialog } from './help_dialog'
import { Icon } from './icons'
import { NameDialog } from './name_dialog'
import { SharePanel } from './share_panel'
import { Stage } from './stage'

type OpenDialog = 'none' | 'share' | 'help'

export function StageScreen({ call }: { call: CallModel }) {
  const text = messages.value
  const share = useMemo(() => new ShareModel(call.conference), [call])
  const open = useSignal<OpenDialog>('none')
  const close = () => {
    open.value = 'none'
  }
  const sending = call.cameraOn.value
  useEffect(() => (sending ? keepScreenOn() : undefined), [sending])
  useShortcuts(call, () => {
    open.value = open.value === 'help' ? 'none' : 'help'
  })
  return (
    <div class={`call ${call.phase.value.kind}`}>
      <CallHeader
        call={call}
        onHelp={() => {
          open.value = 'help'
        }}
      />
      <Alone call={call} share={share} />
      <main class="stage-area">
        <Stage people={call.people.value} />
        <SilentStage call={call} />
        <Banner call={call} />
      </main>
      <Controls
        call={call}
        onShare={() => {
          open.value = 'share'
        }}
      />
      {open.value === 'share' && (
        <Dialog title={text.shareTitle} onClose={close}>
          <SharePanel share={share} />
        </Dialog>
      )}
      {open.value === 'help' && <HelpDialog onClose={close} />}
      {call.nameWantedFor.value && <NameDialog call={call} />}
    </div>
  )
}

function CallHeader({ call, onHelp }: { call: CallModel; onHelp: () => void }) {
  const text = messages.value
  return (
    <header class="call-header">
      <h1 class="ellipsis">{call.title.value || text.untitled}</h1>
      {call.role.value === 'listener' && (
        <span class="chip">
          <Icon name="headphones" />
          <span class="chip-text">{text.listening}</span>
        </span>
      )}
      <DataSpent call={call} />
      <span class="chip" role="status" aria-label={text.peopleCount(call.count.value)}>
        <Icon name="people" />
        {call.count.value}
      </span>
      <button
        type="button"
        class="icon-button keyboard-only"
        aria-label={text.keyboardHelp}
        title={text.keyboardHelp}
        onClick={onHelp}
      >
        <Icon name="help" />
      </button>
    </header>
  )
}

/** Stands where tiles will be while nobody here may speak. */
function SilentStage({ call }: { call: CallModel }) {
  const text = messages.value
  const connected = call.self.value !== null
  if (!connected || call.people.value.some((person) => person.canSpeak)) return null
  return (
    <div class="silent-stage">
      <Icon name="headphones" />
      <h2>{text.nobodyOnStage}</h2>
      <p>{text.nobodyOnStageHint}</p>
    </div>
  )
}

/** Whoever comes first is told how to get company. */
function Alone({ call, share }: { call: CallModel; share: ShareModel }) {
  const text = messages.value
  const copied = share.copy.value === 'copied'
  if (call.count.value !== 1) return null
  return (
    <aside class="alone">
      <p>{text.aloneHint}</p>
      <button type="button" class="button" onClick={() => void share.copyLink()}>
        <Icon name={copied ? 'check' : 'copy'} />
        <span role="status">{copied ? text.copied : text.copyLink}</span>
      </button>
    </aside>
  )
}

function useShortcuts(call: CallModel, toggleHelp: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const shortcut = shortcutOf(event)
      if (!shortcut) return
      event.preventDefault()
      if (shortcut === 'help') toggleHelp()
      else if (shortcut === 'lowData') call.toggleLowData()
      else void call.toggle(shortcut)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  })
}
