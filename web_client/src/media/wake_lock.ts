// Keeps the screen on while a camera sends: a phone that locks itself stops it.

/** Holds the screen on until the returned function is called; does nothing where unsupported. */
export function keepScreenOn(): () => void {
  let held: WakeLockSentinel | null = null
  let wanted = true

  // The browser takes the lock away whenever the page is hidden.
  const acquire = async () => {
    if (!('wakeLock' in navigator) || document.visibilityState !== 'visible') return
    try {
      const lock = await navigator.wakeLock.request('screen')
      if (wanted) held = lock
      else await lock.release()
    } catch {
      // Refused, by a low battery for one: the screen then dims as usual.
    }
  }

  document.addEventListener('visibilitychange', acquire)
  void acquire()
  return () => {
    wanted = false
    document.removeEventListener('visibilitychange', acquire)
    void held?.release()
  }
}
