import { describe, expect, it } from 'vitest'
import { parsePath, pathOf } from './route'

describe('parsePath', () => {
  it('reads a conference name, with or without a closing slash', () => {
    expect(parsePath('/c/abc-defg-hij')).toEqual({ kind: 'conference', name: 'abc-defg-hij' })
    expect(parsePath('/c/abc/')).toEqual({ kind: 'conference', name: 'abc' })
  })

  it('takes everything else for the home page', () => {
    for (const path of ['/', '', '/c', '/c/', '/c/a/b', '/x/c/a', '/c/%E0%A4%A']) {
      expect(parsePath(path), path).toEqual({ kind: 'home' })
    }
  })

  it('undoes pathOf for names that need escaping', () => {
    for (const name of ['Réunion du 5', 'a/b', '100%', '?x#y']) {
      expect(parsePath(pathOf({ kind: 'conference', name }))).toEqual({ kind: 'conference', name })
    }
  })
})
