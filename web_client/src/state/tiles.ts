// Which people get a tile and in what order.
//
// The order is stable: a tile moves only when somebody who is out of sight
// starts to speak, and then it changes places with whoever in sight has been
// silent longest. One's own tile is always in sight, last.

import type { Person } from '../signal/engine'

export interface Tile {
  /** Stable key: one person may have a camera tile and a screen tile. */
  readonly id: string
  readonly person: Person
  readonly source: 'camera' | 'screen'
}

/** The tiles of a call, unordered: shared screens and everybody who may speak. */
export function tilesOf(people: readonly Person[]): Tile[] {
  return people.flatMap((person) => {
    const tiles: Tile[] = []
    if (person.screen) tiles.push({ id: `${person.identity}/screen`, person, source: 'screen' })
    if (person.canSpeak) tiles.push({ id: `${person.identity}/camera`, person, source: 'camera' })
    return tiles
  })
}

/** Screens first, then the others as they stood, newcomers after them, oneself last. */
function baseOrder(previous: readonly string[], tiles: readonly Tile[]): Tile[] {
  const rank = new Map(previous.map((id, index) => [id, index]))
  const weight = (tile: Tile): number => {
    if (tile.source === 'screen') return 0
    return tile.person.isLocal ? 2 : 1
  }
  const place = (tile: Tile): number => rank.get(tile.id) ?? previous.length
  // Array.prototype.sort is stable, so newcomers keep the order they joined in.
  return [...tiles].sort((a, b) => weight(a) - weight(b) || place(a) - place(b))
}

/**
 * Orders tiles for a stage with room for `room` of them, given the order they
 * had before. The first `room` tiles of the result are the ones in sight.
 */
export function orderTiles(
  previous: readonly string[],
  tiles: readonly Tile[],
  room: number,
): Tile[] {
  const ordered = baseOrder(previous, tiles)
  if (room <= 0 || ordered.length <= room) return ordered
  keepSelfInSight(ordered, room)
  for (let hidden = room; hidden < ordered.length; hidden += 1) {
    const speaker = ordered[hidden]
    if (!speaker?.person.isSpeaking) continue
    const seat = quietestSeat(ordered, room)
    if (seat === null) break
    ordered[hidden] = ordered[seat] as Tile
    ordered[seat] = speaker
  }
  return ordered
}

function keepSelfInSight(ordered: Tile[], room: number): void {
  const last = ordered[ordered.length - 1]
  if (!last?.person.isLocal || room < 2) return
  ordered.pop()
  ordered.splice(room - 1, 0, last)
}

/** The seat in sight whose holder has been silent longest, if any is silent. */
function quietestSeat(ordered: readonly Tile[], room: number): number | null {
  let best: number | null = null
  let bestSpokeAt = Number.POSITIVE_INFINITY
  for (let seat = 0; seat < room; seat += 1) {
    const tile = ordered[seat]
    if (!tile || tile.source === 'screen' || tile.person.isLocal || tile.person.isSpeaking) continue
    if (tile.person.lastSpokeAt_ms < bestSpokeAt) {
      best = seat
      bestSpokeAt = tile.person.lastSpokeAt_ms
    }
  }
  return best
}

/** One or two letters for a tile without a picture. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean)
  const first = words[0] ?? ''
  const last = words.length > 1 ? (words[words.length - 1] ?? '') : ''
  // By code point: names may start with a letter outside the basic plane.
  return ([...first].slice(0, 1).join('') + [...last].slice(0, 1).join('')).toUpperCase()
}

/** A colour class for a person's initials, 0 to 5, the same on every screen. */
export function hueOf(identity: string): number {
  let hash = 0
  for (const char of identity) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 9973
  return hash % 6
}
