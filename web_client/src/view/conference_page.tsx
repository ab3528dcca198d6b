// A conference's page: the screen for each phase of the call.

import { useEffect, useMemo } from 'preact/hooks'
import { language, messages } from '../i18n'
import { dataSize } from '../i18n/data_size'
import { warmEngine } from '../signal/load_engine'
import { CallModel, type CallServices } from '../state/call'
import { type ErrorCode, explain } from '../state/errors'
import { navigate } from '../state/route'
import { Frame, ScreenTitle } from './frame'
import { Lobby } from './lobby'
import { RemedyButton } from './remedy_button'
import { StageScreen } from './stage_screen'

interface Props {
  readonly conference: string
  readonly services: CallServices
}

export function ConferencePage({ conference, services }: Props) {
  const call = useMemo(() => {
    const model = new CallModel(conference, services)
    void model.resume()
    return model
  }, [conference, services])
  useEffect(() => {
    warmEngine()
    const retry = () => {
      if (document.visibilityState === 'visible') void call.retryIfLost()
    }
    // `pageshow`: back from the browser's page cache, where no connection survives.
    const stopListening = listenAll({ online: retry, pageshow: retry, visibilitychange: retry })
    return () => {
      stopListening()
      call.close()
    }
  }, [call])

  const title = call.title.value
  useEffect(() => {
    if (title !== '') document.title = `${title} · Kinguicall`
  }, [title])

  const phase = call.phase.value
  switch (phase.kind) {
    case 'lobby':
      return <Lobby call={call} />
    case 'joining':
      return <Joining call={call} />
    case 'failed':
      return <Failed call={call} error={phase.error} />
    case 'left':
      return <Left call={call} />
    default:
      return <StageScreen call={call} />
  }
}

/** Listens to events of the window, those of the document included, until told to stop. */
function listenAll(listeners: Record<string, () => void>): () => void {
  for (const [event, listener] of Object.entries(listeners)) addEventListener(event, listener)
  return () => {
    for (const [event, listener] of Object.entries(listeners)) removeEventListener(event, listener)
  }
}

function Joining({ call }: { call: CallModel }) {
  const text = messages.value
  return (
    <Frame>
      <section class="card centred">
        <div class="waiting" aria-hidden="true" />
        <ScreenTitle>{text.joining}</ScreenTitle>
        <p class="hint">{text.loadingCall}</p>
        <button type="button" class="button" onClick={() => call.cancel()}>
          {text.cancel}
        </button>
      </section>
    </Frame>
  )
}

function Failed({ call, error }: { call: CallModel; error: ErrorCode }) {
  const { message, remedy } = explain(error)
  return (
    <Frame>
      <section class="card centred" role="alert">
        <ScreenTitle>{messages.value[message]}</ScreenTitle>
        <RemedyButton call={call} remedy={remedy} />
      </section>
    </Frame>
  )
}

function Left({ call }: { call: CallModel }) {
  const text = messages.value
  return (
    <Frame>
      <section class="card centred">
        <ScreenTitle>{text.leftTitle}</ScreenTitle>
        <p class="hint">{text.dataSpent(dataSize(call.data.spent_bytes.value, language.value))}</p>
        <button type="button" class="button primary big" onClick={() => void call.rejoin()}>
          {text.rejoin}
        </button>
        <button type="button" class="button" onClick={() => navigate({ kind: 'home' })}>
          {text.goHome}
        </button>
      </section>
    </Frame>
  )
}
