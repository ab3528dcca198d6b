// Equal tiles in rows, as large as the stage allows; the last row is centred.

import {
  type Box,
  GAP_PX,
  type Layout,
  MIN_TILE_PX,
  PHONE_WIDTH_PX,
  type StageSize,
} from './layout'

const MAX_TILES = 16
const MAX_TILES_PHONE = 6
/** Width over height a tile may take; cameras are cropped to it. */
const WIDEST = 16 / 9
const NARROWEST_UPRIGHT = 3 / 4
const NARROWEST_LYING = 4 / 3

interface Fit {
  readonly columns: number
  readonly width: number
  readonly height: number
}

function fit(stage: StageSize, count: number, columns: number): Fit {
  const rows = Math.ceil(count / columns)
  let width = (stage.width - GAP_PX * (columns - 1)) / columns
  let height = (stage.height - GAP_PX * (rows - 1)) / rows
  if (width / height > WIDEST) width = height * WIDEST
  const narrowest = stage.width > stage.height ? NARROWEST_LYING : NARROWEST_UPRIGHT
  if (width / height < narrowest) height = width / narrowest
  return { columns, width: Math.floor(width), height: Math.floor(height) }
}

function largestFit(stage: StageSize, count: number): Fit {
  let best = fit(stage, count, 1)
  for (let columns = 2; columns <= count; columns += 1) {
    const candidate = fit(stage, count, columns)
    if (candidate.width * candidate.height > best.width * best.height) best = candidate
  }
  return best
}

function place(stage: StageSize, count: number, { columns, width, height }: Fit): Box[] {
  const rows = Math.ceil(count / columns)
  const top = (stage.height - rows * height - (rows - 1) * GAP_PX) / 2
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns)
    const inRow = Math.min(columns, count - row * columns)
    const start = (stage.width - inRow * width - (inRow - 1) * GAP_PX) / 2
    const column = index - row * columns
    return {
      x: Math.floor(start + column * (width + GAP_PX)),
      y: Math.floor(top + row * (height + GAP_PX)),
      width,
      height,
    }
  })
}

export const grid: Layout = (stage, count) => {
  if (stage.width <= 0 || stage.height <= 0) return []
  let shown = Math.min(count, stage.width < PHONE_WIDTH_PX ? MAX_TILES_PHONE : MAX_TILES)
  while (shown > 1) {
    const { width, height } = largestFit(stage, shown)
    if (width >= MIN_TILE_PX && height >= MIN_TILE_PX) break
    shown -= 1
  }
  return shown === 0 ? [] : place(stage, shown, largestFit(stage, shown))
}
