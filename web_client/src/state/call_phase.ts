// The life of a call on this page, as one transition table.
//
//   lobby → joining → inCall ⇄ reconnecting
//             ↓         ↓ ↘        ↓
//           failed     left  lost ←
//
// `failed`, `left` and `lost` all lead back to `joining`. An event that a phase
// does not know is ignored: events of a session being torn down arrive late.

import type { ErrorCode } from './errors'

export type CallPhase =
  | { readonly kind: 'lobby' }
  | { readonly kind: 'joining' }
  | { readonly kind: 'failed'; readonly error: ErrorCode }
  | { readonly kind: 'inCall' }
  | { readonly kind: 'reconnecting' }
  | { readonly kind: 'lost'; readonly error: ErrorCode }
  | { readonly kind: 'left' }

export type CallEvent =
  | { readonly kind: 'join' }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'connected' }
  | { readonly kind: 'refused'; readonly error: ErrorCode }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'restored' }
  | { readonly kind: 'disconnected'; readonly error: ErrorCode }
  | { readonly kind: 'leave' }

type Transitions = {
  readonly [P in CallPhase['kind']]: {
    readonly [E in CallEvent['kind']]?: (event: Extract<CallEvent, { kind: E }>) => CallPhase
  }
}

const joining = (): CallPhase => ({ kind: 'joining' })
const inCall = (): CallPhase => ({ kind: 'inCall' })
const left = (): CallPhase => ({ kind: 'left' })
const lobby = (): CallPhase => ({ kind: 'lobby' })
const lost = ({ error }: { error: ErrorCode }): CallPhase => ({ kind: 'lost', error })

const transitions: Transitions = {
  lobby: { join: joining },
  joining: {
    cancel: lobby,
    connected: inCall,
    refused: ({ error }) => ({ kind: 'failed', error }),
  },
  failed: { join: joining, cancel: lobby },
  inCall: { interrupted: () => ({ kind: 'reconnecting' }), disconnected: lost, leave: left },
  reconnecting: { restored: inCall, disconnected: lost, leave: left },
  lost: { join: joining, leave: left },
  left: { join: joining, cancel: lobby },
}

/** The phase after `event`; the same object when the phase does not know the event. */
export function nextPhase(phase: CallPhase, event: CallEvent): CallPhase {
  const transition = transitions[phase.kind][event.kind] as
    | ((event: CallEvent) => CallPhase)
    | undefined
  return transition ? transition(event) : phase
}
