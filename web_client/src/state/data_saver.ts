// What the call costs in data: the low-data switch, and the bytes spent so far.
//
// Low data is a choice of this device, kept for the next call. It asks the
// server for a bound, which holds where it saves the money, and cameras are not
// asked for at all; a shared screen comes as small as the bound lets it. Of the
// own camera the smallest size is sent.

import { type Signal, signal } from '@preact/signals'
import type { Preferences } from './preferences'

/**
 * What may be received. Room for two voices at 24 kbit/s with what carries them
 * (50 each), or for one in the page's quality and slides that seldom change;
 * no camera fits. 45 MB an hour, as the page says.
 */
export const LOW_DATA_LIMIT_KBPS = 100

export class DataSaver {
  readonly on: Signal<boolean>
  /** Received and sent since this conference was entered, a reload included. */
  readonly spent_bytes: Signal<number> = signal(0)
  readonly #preferences: Preferences

  constructor(preferences: Preferences) {
    this.#preferences = preferences
    this.on = signal(preferences.lowData())
  }

  /** What to ask the server for; null for no bound. */
  get limit_kbps(): number | null {
    return this.on.value ? LOW_DATA_LIMIT_KBPS : null
  }

  toggle(): void {
    this.on.value = !this.on.value
    this.#preferences.saveLowData(this.on.value)
  }

  spend(bytes: number): void {
    this.spent_bytes.value += bytes
  }
}
