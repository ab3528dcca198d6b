// Keyboard shortcuts of the call: single letters, as in the other products.
// They never fire while somebody types, nor with a modifier held.

export type Shortcut = 'microphone' | 'camera' | 'lowData' | 'help'

const keys: Readonly<Record<string, Shortcut>> = {
  m: 'microphone',
  v: 'camera',
  d: 'lowData',
  '?': 'help',
}

type KeyPress = Pick<
  KeyboardEvent,
  'key' | 'ctrlKey' | 'altKey' | 'metaKey' | 'repeat' | 'isComposing' | 'target'
>

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))

/** The shortcut a key press stands for, or null. */
export function shortcutOf(press: KeyPress): Shortcut | null {
  if (press.ctrlKey || press.altKey || press.metaKey) return null
  if (press.repeat || press.isComposing || isTyping(press.target)) return null
  return keys[press.key.toLowerCase()] ?? null
}
