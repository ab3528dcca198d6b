// The home page: create a conference, then hand out its link.

import { useMemo } from 'preact/hooks'
import { messages } from '../i18n'
import type { CallServices } from '../state/call'
import { explain } from '../state/errors'
import { HomeModel } from '../state/home'
import { navigate } from '../state/route'
import { ShareModel } from '../state/share'
import { Frame, ScreenTitle } from './frame'
import { Icon, type IconName } from './icons'
import { SharePanel } from './share_panel'

/** The server takes 120 bytes of UTF-8: room for 60 letters with their accents. */
const TITLE_MAX_LENGTH = 60

export function HomePage({ services }: { services: CallServices }) {
  const home = useMemo(() => new HomeModel(services.api), [services])
  const state = home.state.value
  return (
    <Frame>
      {state.kind === 'created' ? (
        <Created conference={state.conference} />
      ) : (
        <Invitation home={home} />
      )}
    </Frame>
  )
}

function Invitation({ home }: { home: HomeModel }) {
  const text = messages.value
  const state = home.state.value
  const creating = state.kind === 'creating'
  return (
    <>
      <ScreenTitle>{text.homeTitle}</ScreenTitle>
      <p class="lede">{text.homeLede}</p>
      <form
        class="create"
        onSubmit={(event) => {
          event.preventDefault()
          void home.create()
        }}
      >
        <label class="field">
          <span>{text.titleLabel}</span>
          <input
            value={home.title.value}
            maxLength={TITLE_MAX_LENGTH}
            placeholder={text.titlePlaceholder}
            autocomplete="off"
            enterkeyhint="go"
            onInput={(event) => {
              home.title.value = event.currentTarget.value
            }}
          />
        </label>
        <button type="submit" class="button primary big" aria-disabled={creating}>
          {creating ? text.creating : text.create}
        </button>
      </form>
      <p class="form-error" role="alert">
        {state.kind === 'failed' && text[explain(state.error).message]}
      </p>
      <ul class="points">
        <Point icon="phone">{text.homePointPhone}</Point>
        <Point icon="headphones">{text.homePointListen}</Point>
        <Point icon="check">{text.homePointAccount}</Point>
      </ul>
    </>
  )
}

function Point({ icon, children }: { icon: IconName; children: string }) {
  return (
    <li>
      <Icon name={icon} />
      {children}
    </li>
  )
}

function Created({ conference }: { conference: string }) {
  const text = messages.value
  const share = useMemo(() => new ShareModel(conference), [conference])
  return (
    <section class="card">
      <ScreenTitle>{text.createdTitle}</ScreenTitle>
      <p class="hint">{text.createdHint}</p>
      <SharePanel share={share} />
      <button
        type="button"
        class="button primary big"
        onClick={() => navigate({ kind: 'conference', name: conference })}
      >
        {text.enter}
      </button>
    </section>
  )
}
