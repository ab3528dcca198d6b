// Loads the call engine once, on demand: it weighs several times the page.

import { CallError } from '../state/errors'
import { browserSavesData } from '../state/preferences'
import type { Engine } from './engine'

let loaded: Engine | null = null

/** The engine if it is here already: joining can then stay inside the tap. */
export const loadedEngine = (): Engine | null => loaded

/** @throws CallError `engine_load_failed` */
export async function loadEngine(): Promise<Engine> {
  try {
    const { liveKitEngine } = await import('./livekit_engine')
    loaded = liveKitEngine
    return loaded
  } catch {
    throw new CallError('engine_load_failed')
  }
}

/** Fetches the engine while the visitor reads the page, unless the browser saves data. */
export function warmEngine(): void {
  if (browserSavesData()) return
  const start = () => void loadEngine().catch(() => undefined) // joining reports it
  if ('requestIdleCallback' in window) requestIdleCallback(start, { timeout: 3000 })
  else setTimeout(start, 1000)
}
