// What the page remembers on this device: name, language and low data for good, and the
// call under way for this tab, so that a reload goes straight back in.
//
// Storage may be refused (private windows, blocked cookies): the page then
// merely forgets.

const NAME_KEY = 'kinguicall.name'
const LANGUAGE_KEY = 'kinguicall.language'
const LOW_DATA_KEY = 'kinguicall.lowData'
const CALL_KEY = 'kinguicall.call'

export type Role = 'listener' | 'speaker'

/** A call under way: enough to enter it again as it was left. */
export interface OngoingCall {
  readonly conference: string
  readonly role: Role
  readonly microphone: boolean
  readonly camera: boolean
  readonly spent_bytes: number
}

export interface Preferences {
  name(): string
  saveName(name: string): void
  language(): string | null
  saveLanguage(code: string): void
  /** Until somebody has decided: whether the browser is told to save data. */
  lowData(): boolean
  saveLowData(on: boolean): void
  ongoingCall(conference: string): OngoingCall | null
  saveOngoingCall(call: OngoingCall): void
  clearOngoingCall(): void
}

interface NetworkInformation {
  readonly saveData?: boolean
}

/** Whether the browser, or the system behind it, is told to save data. Few say. */
export const browserSavesData = (): boolean =>
  (navigator as { connection?: NetworkInformation }).connection?.saveData === true

function read(storage: () => Storage, key: string): string | null {
  try {
    return storage().getItem(key)
  } catch {
    return null
  }
}

function write(storage: () => Storage, key: string, value: string | null): void {
  try {
    if (value === null) storage().removeItem(key)
    else storage().setItem(key, value)
  } catch {
    // Refused or full: forgetting is the agreed behaviour.
  }
}

function parseOngoingCall(text: string | null): OngoingCall | null {
  if (text === null) return null
  try {
    const call = JSON.parse(text) as Record<string, unknown>
    const { conference, role } = call
    if (typeof conference !== 'string') return null
    if (role !== 'listener' && role !== 'speaker') return null
    return {
      conference,
      role,
      microphone: call.microphone === true,
      camera: call.camera === true,
      spent_bytes: typeof call.spent_bytes === 'number' ? call.spent_bytes : 0,
    }
  } catch {
    return null
  }
}

// Reading `window.localStorage` itself throws where storage is blocked, hence functions.
const local = () => localStorage
const tab = () => sessionStorage

export const browserPreferences: Preferences = {
  name: () => read(local, NAME_KEY) ?? '',
  saveName: (name) => write(local, NAME_KEY, name),
  language: () => read(local, LANGUAGE_KEY),
  saveLanguage: (code) => write(local, LANGUAGE_KEY, code),
  lowData() {
    const stored = read(local, LOW_DATA_KEY)
    return stored === null ? browserSavesData() : stored === 'on'
  },
  saveLowData: (on) => write(local, LOW_DATA_KEY, on ? 'on' : 'off'),
  ongoingCall(conference) {
    const call = parseOngoingCall(read(tab, CALL_KEY))
    return call?.conference === conference ? call : null
  },
  saveOngoingCall: (call) => write(tab, CALL_KEY, JSON.stringify(call)),
  clearOngoingCall: () => write(tab, CALL_KEY, null),
}
