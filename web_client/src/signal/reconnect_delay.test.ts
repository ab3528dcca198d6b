import { describe, expect, it } from 'vitest'
import { reconnectDelay_ms } from './reconnect_delay'

describe('reconnectDelay_ms', () => {
  it('tries at once, then within three seconds four times', () => {
    let elapsed = 0
    for (let attempt = 0; attempt < 4; attempt += 1) {
      elapsed += reconnectDelay_ms(attempt, elapsed) ?? Number.NaN
    }
    expect(reconnectDelay_ms(0, 0)).toBe(0)
    expect(elapsed).toBeLessThan(3000)
  })

  it('goes on at a steady pace, spread by chance', () => {
    expect(reconnectDelay_ms(20, 50_000, () => 0)).toBe(2000)
    expect(reconnectDelay_ms(20, 50_000, () => 1)).toBe(3500)
  })

  it('gives up after two minutes', () => {
    expect(reconnectDelay_ms(40, 119_999)).not.toBeNull()
    expect(reconnectDelay_ms(41, 120_000)).toBeNull()
  })
})
