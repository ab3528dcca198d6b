import { describe, expect, it } from 'vitest'
import { type CallEvent, type CallPhase, nextPhase } from './call_phase'

const run = (...events: CallEvent[]): CallPhase =>
  events.reduce(nextPhase, { kind: 'lobby' } as CallPhase)

describe('nextPhase', () => {
  it('goes in, through an interruption and back', () => {
    expect(run({ kind: 'join' }).kind).toBe('joining')
    expect(run({ kind: 'join' }, { kind: 'connected' }, { kind: 'interrupted' }).kind).toBe(
      'reconnecting',
    )
    expect(
      run({ kind: 'join' }, { kind: 'connected' }, { kind: 'interrupted' }, { kind: 'restored' })
        .kind,
    ).toBe('inCall')
  })

  it('keeps the reason of a refusal and of a loss, and lets one try again', () => {
    const refused = run({ kind: 'join' }, { kind: 'refused', error: 'unreachable' })
    expect(refused).toEqual({ kind: 'failed', error: 'unreachable' })
    expect(nextPhase(refused, { kind: 'join' }).kind).toBe('joining')

    const lost = run(
      { kind: 'join' },
      { kind: 'connected' },
      { kind: 'interrupted' },
      { kind: 'disconnected', error: 'connection_lost' },
    )
    expect(lost).toEqual({ kind: 'lost', error: 'connection_lost' })
    expect(nextPhase(lost, { kind: 'join' }).kind).toBe('joining')
  })

  it('ignores what arrives late from a session already left', () => {
    const left = run({ kind: 'join' }, { kind: 'connected' }, { kind: 'leave' })
    expect(nextPhase(left, { kind: 'disconnected', error: 'connection_lost' })).toBe(left)
    expect(nextPhase(left, { kind: 'restored' })).toBe(left)
    const lobby = run()
    expect(nextPhase(lobby, { kind: 'connected' })).toBe(lobby)
  })
})
