// The first tile large, the others beside it on a wide stage and under it on an
// upright one. For a shared screen.

import { grid } from './grid'
import { type Box, GAP_PX, type Layout, MIN_TILE_PX, type StageSize } from './layout'

const STRIP_MAX_TILES = 6
/** The strip's share of the stage. */
const STRIP_SHARE = 0.22
const STRIP_MAX_PX = 260

const stripThickness = (length: number): number =>
  Math.floor(Math.min(STRIP_MAX_PX, Math.max(MIN_TILE_PX, length * STRIP_SHARE)))

/** Shared screens are seldom taller than 4:3, so the rest of an upright stage is for faces. */
function tall(stage: StageSize, others: number): Box[] {
  const strip = stripThickness(stage.height)
  const mainHeight = Math.min(stage.height - strip - GAP_PX, Math.floor((stage.width * 3) / 4))
  const top = mainHeight + GAP_PX
  const rest = grid({ width: stage.width, height: stage.height - top }, others)
  return [
    { x: 0, y: 0, width: stage.width, height: mainHeight },
    ...rest.map((box) => ({ ...box, y: box.y + top })),
  ]
}

function wide(stage: StageSize, others: number): Box[] {
  const strip = stripThickness(stage.width)
  const shown = Math.min(others, STRIP_MAX_TILES, fitting(stage.height))
  const even = Math.floor((stage.height - GAP_PX * (shown - 1)) / shown)
  const height = Math.min(even, Math.floor((strip * 3) / 4))
  const top = (stage.height - shown * height - (shown - 1) * GAP_PX) / 2
  const mainWidth = stage.width - strip - GAP_PX
  const boxes: Box[] = [{ x: 0, y: 0, width: mainWidth, height: stage.height }]
  for (let index = 0; index < shown; index += 1) {
    const y = Math.floor(top + index * (height + GAP_PX))
    boxes.push({ x: mainWidth + GAP_PX, y, width: strip, height })
  }
  return boxes
}

/** How many tiles of the smallest size fit along `length`; at least one. */
const fitting = (length: number): number =>
  Math.max(1, Math.floor((length + GAP_PX) / (MIN_TILE_PX + GAP_PX)))

export const spotlight: Layout = (stage, count) => {
  if (stage.width <= 0 || stage.height <= 0 || count === 0) return []
  // On a stage too short to share, the spotlight takes it all.
  const length = Math.max(stage.width, stage.height)
  if (count === 1 || length < 3 * MIN_TILE_PX)
    return [{ x: 0, y: 0, width: stage.width, height: stage.height }]
  return stage.width > stage.height ? wide(stage, count - 1) : tall(stage, count - 1)
}
