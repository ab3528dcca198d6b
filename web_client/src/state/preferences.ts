// What the page remembers on this device: name and language for good, and the
// call under way for this tab, so that a reload goes straight back in.
//
// Storage may be refused (private windows, blocked cookies): the page then
// merely forgets.

const NAME_KEY = 'kinguicall.name'
const LANGUAGE_KEY = 'kinguicall.language'
const CALL_KEY = 'kinguicall.call'

export type Role = 'listener' | 'speaker'

/** A call under way: enough to enter it again as it was left. */
export interface OngoingCall {
  readonly conference: string
  readonly role: Role
  readonly microphone: boolean
  readonly camera: boolean
}

export interface Preferences {
  name(): string
  saveName(name: string): void
  language(): string | null
  saveLanguage(code: string): void
  ongoingCall(conference: string): OngoingCall | null
  saveOngoingCall(call: OngoingCall): void
  clearOngoingCall(): void
}

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
    const { conference, role, microphone, camera } = JSON.parse(text) as Record<string, unknown>
    if (typeof conference !== 'string') return null
    if (role !== 'listener' && role !== 'speaker') return null
    return { conference, role, microphone: microphone === true, camera: camera === true }
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
  ongoingCall(conference) {
    const call = parseOngoingCall(read(tab, CALL_KEY))
    return call?.conference === conference ? call : null
  },
  saveOngoingCall: (call) => write(tab, CALL_KEY, JSON.stringify(call)),
  clearOngoingCall: () => write(tab, CALL_KEY, null),
}
