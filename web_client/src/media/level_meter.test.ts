import { describe, expect, it } from 'vitest'
import { levelOf } from './level_meter'

const sine = (amplitude: number) =>
  Uint8Array.from({ length: 512 }, (_, i) => 128 + Math.round(amplitude * Math.sin(i / 5)))

describe('levelOf', () => {
  it('is 0 in silence, 1 for a shout, and grows in between', () => {
    expect(levelOf(sine(0))).toBe(0)
    expect(levelOf(new Uint8Array(0))).toBe(0)
    expect(levelOf(sine(127))).toBe(1)
    expect(levelOf(sine(4))).toBeGreaterThan(0.1)
    expect(levelOf(sine(16))).toBeGreaterThan(levelOf(sine(4)))
  })
})
