import { describe, expect, it } from 'vitest'
import { shortcutOf } from './shortcuts'

const press = (key: string, more: object = {}) => ({
  key,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  repeat: false,
  isComposing: false,
  target: document.body as EventTarget,
  ...more,
})

describe('shortcutOf', () => {
  it('knows M, V and ?, in both cases', () => {
    expect(shortcutOf(press('m'))).toBe('microphone')
    expect(shortcutOf(press('V'))).toBe('camera')
    expect(shortcutOf(press('?'))).toBe('help')
    expect(shortcutOf(press('x'))).toBeNull()
  })

  it('keeps out of typing', () => {
    for (const tag of ['input', 'textarea', 'select']) {
      expect(shortcutOf(press('m', { target: document.createElement(tag) }))).toBeNull()
    }
  })

  it('leaves the browser its own shortcuts and ignores a held key', () => {
    expect(shortcutOf(press('v', { ctrlKey: true }))).toBeNull()
    expect(shortcutOf(press('m', { metaKey: true }))).toBeNull()
    expect(shortcutOf(press('m', { repeat: true }))).toBeNull()
  })
})
