// How long to wait before each attempt to bring a connection back.
//
// Quick at first, because most losses are a phone changing cells; then steady,
// because a listener counts the seconds, yet spread by chance, because a node
// that dies loses everybody at once.

const FIRST_DELAYS_MS = [0, 300, 700, 1500]
const STEADY_DELAY_MS = 2000
const SPREAD_MS = 1500
/** Longer than a tunnel or a lift; after that the page offers a button. */
const GIVE_UP_AFTER_MS = 120_000

/** The delay before attempt number `attempt`, counted from 0; null to give up. */
export function reconnectDelay_ms(
  attempt: number,
  elapsed_ms: number,
  random: () => number = Math.random,
): number | null {
  if (elapsed_ms >= GIVE_UP_AFTER_MS) return null
  return FIRST_DELAYS_MS[attempt] ?? STEADY_DELAY_MS + random() * SPREAD_MS
}
