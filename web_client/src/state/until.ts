// Waiting for signals.

import { effect } from '@preact/signals'

/** Resolves when a condition over signals holds. */
export async function until(holds: () => boolean): Promise<void> {
  let stop = () => {}
  await new Promise<void>((resolve) => {
    stop = effect(() => {
      if (holds()) resolve()
    })
  })
  stop()
}
