import { describe, expect, it } from 'vitest'
import type { Person, Picture } from '../signal/engine'
import { hueOf, initialsOf, orderTiles, type Tile, tilesOf } from './tiles'

const person = (identity: string, more: Partial<Person> = {}): Person => ({
  identity,
  name: identity,
  isLocal: false,
  canSpeak: true,
  isSpeaking: false,
  lastSpokeAt_ms: 0,
  microphoneOn: false,
  camera: null,
  screen: null,
  ...more,
})
const picture: Picture = { id: 'v', attach: () => undefined, detach: () => undefined }
const ids = (tiles: readonly Tile[]) => tiles.map((tile) => tile.person.identity).join('')

describe('tilesOf', () => {
  it('gives listeners no tile and a shared screen one of its own', () => {
    const tiles = tilesOf([person('a', { canSpeak: false }), person('b', { screen: picture })])
    expect(tiles.map((tile) => tile.id)).toEqual(['b/screen', 'b/camera'])
  })
})

describe('orderTiles', () => {
  const me = person('m', { isLocal: true })

  it('keeps the order it had, adds newcomers, and puts oneself last', () => {
    const first = orderTiles([], tilesOf([me, person('a'), person('b')]), 9)
    expect(ids(first)).toBe('abm')
    const previous = first.map((tile) => tile.id)
    const next = orderTiles(previous, tilesOf([me, person('c'), person('b'), person('a')]), 9)
    expect(ids(next)).toBe('abcm')
  })

  it('puts a shared screen first', () => {
    expect(orderTiles([], tilesOf([person('a'), person('b', { screen: picture })]), 9)[0]?.id).toBe(
      'b/screen',
    )
  })

  it('moves nobody when someone in sight speaks', () => {
    const people = [person('a'), person('b', { isSpeaking: true }), person('c'), person('d')]
    expect(ids(orderTiles([], tilesOf(people), 2))).toBe('abcd')
  })

  it('brings a hidden speaker into sight, in the place of who was silent longest', () => {
    const people = [
      person('a', { lastSpokeAt_ms: 50 }),
      person('b', { lastSpokeAt_ms: 10 }),
      person('c', { isSpeaking: true }),
      me,
    ]
    expect(ids(orderTiles([], tilesOf(people), 3)).slice(0, 3)).toBe('acm')
  })

  it('never takes the seat of a speaker, nor oneself out of sight', () => {
    const people = [
      person('a', { isSpeaking: true }),
      person('b', { isSpeaking: true }),
      person('c', { isSpeaking: true }),
      me,
    ]
    expect(ids(orderTiles([], tilesOf(people), 3)).slice(0, 3)).toBe('abm')
  })
})

describe('initialsOf', () => {
  it.each([
    ['Awa Traoré', 'AT'],
    ['  moussa ', 'M'],
    ['Fatoumata Bintou Diarra', 'FD'],
    ['ߞߊ߲ ߞߎ', 'ߞߞ'],
    ['𞤀𞤣 x', '𞤀X'],
    ['', ''],
  ])('%j becomes %j', (name, initials) => {
    expect(initialsOf(name)).toBe(initials)
  })
})

describe('hueOf', () => {
  it('is steady and within the six colours there are', () => {
    for (const identity of ['', 'a', 'p_4711', 'é'.repeat(500)]) {
      expect(hueOf(identity)).toBe(hueOf(identity))
      expect([0, 1, 2, 3, 4, 5]).toContain(hueOf(identity))
    }
  })
})
