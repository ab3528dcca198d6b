// What a layout is: a pure function from the size of the stage and the number
// of tiles to boxes in pixels. Views only place what it returns.

/** The stage's inner size in CSS pixels. */
export interface StageSize {
  readonly width: number
  readonly height: number
}

/** A tile's place on the stage in CSS pixels, from its top-left corner. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Boxes of at most `count` tiles, in order; fewer when the stage has no room for more. */
export type Layout = (stage: StageSize, count: number) => readonly Box[]

export const GAP_PX = 8
/** Below this a face cannot be told from another. */
export const MIN_TILE_PX = 104
/** Up to this width a stage is a phone's: fewer pictures, because each costs data. */
export const PHONE_WIDTH_PX = 600
