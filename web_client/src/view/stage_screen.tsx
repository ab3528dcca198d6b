// The call's screen: who is in it, the stage, banners, controls.

import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { messages } from '../i18n'
import type { CallModel } from '../state/call'
import { ShareModel } from '../state/share'
import { shortcutOf } from '../state/shortcuts'
import { Banner } from './banner'
import { Controls } from './controls'
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
      <Banner call={call} />
      <main class="stage-area">
        <Stage people={call.people.value} />
        <EmptyStage call={call} share={share} />
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
      <h1 class="ellipsis">{call.title}</h1>
      {call.role.value === 'listener' && (
        <span class="chip">
          <Icon name="headphones" />
          {text.listening}
        </span>
      )}
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

/** What stands where tiles will be: nobody speaks yet, or nobody else is here. */
function EmptyStage({ call, share }: { call: CallModel; share: ShareModel }) {
  const text = messages.value
  const alone = call.count.value <= 1
  const speakers = call.people.value.some((person) => person.canSpeak)
  if (!alone && speakers) return null
  return (
    <div class={`empty-stage ${speakers ? 'beside' : ''}`}>
      {!speakers && <Icon name="headphones" />}
      {!speakers && <h2>{text.nobodyOnStage}</h2>}
      <p>{alone ? text.aloneHint : text.nobodyOnStageHint}</p>
      {alone && (
        <button type="button" class="button" onClick={() => void share.copyLink()}>
          <Icon name={share.copy.value === 'copied' ? 'check' : 'copy'} />
          <span role="status">{share.copy.value === 'copied' ? text.copied : text.copyLink}</span>
        </button>
      )}
    </div>
  )
}

function useShortcuts(call: CallModel, toggleHelp: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const shortcut = shortcutOf(event)
      if (!shortcut) return
      event.preventDefault()
      if (shortcut === 'help') toggleHelp()
      else void call.toggle(shortcut)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  })
}
