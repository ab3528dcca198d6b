import { describe, expect, it } from 'vitest'
import { grid } from './grid'
import type { Box, Layout, StageSize } from './layout'
import { spotlight } from './spotlight'

const phone: StageSize = { width: 344, height: 560 }
const phoneSideways: StageSize = { width: 640, height: 240 }
const desktop: StageSize = { width: 1264, height: 600 }

const overlap = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

const layouts: [string, Layout][] = [
  ['grid', grid],
  ['spotlight', spotlight],
]
const stages: [string, StageSize][] = [
  ['phone', phone],
  ['phone held sideways', phoneSideways],
  ['desktop', desktop],
  ['tiny', { width: 90, height: 90 }],
]

describe.each(layouts)('%s', (_, layout) => {
  it.each(stages)('keeps every tile on the stage, apart from the others: %s', (_, stage) => {
    for (let count = 1; count <= 40; count += 1) {
      const boxes = layout(stage, count)
      expect(boxes.length).toBeGreaterThan(0)
      expect(boxes.length).toBeLessThanOrEqual(count)
      for (const [index, box] of boxes.entries()) {
        expect(box.x).toBeGreaterThanOrEqual(0)
        expect(box.y).toBeGreaterThanOrEqual(0)
        expect(box.width).toBeGreaterThan(0)
        expect(box.x + box.width).toBeLessThanOrEqual(stage.width)
        expect(box.y + box.height).toBeLessThanOrEqual(stage.height + 1)
        for (const other of boxes.slice(index + 1)) expect(overlap(box, other)).toBe(false)
      }
    }
  })

  it('has nothing to place on a stage that has no size yet, or without tiles', () => {
    expect(layout({ width: 0, height: 0 }, 3)).toEqual([])
    expect(layout(phone, 0)).toEqual([])
  })
})

describe('grid', () => {
  it('stacks two people on a phone and puts them side by side on a desktop', () => {
    const [top, bottom] = grid(phone, 2)
    expect(top?.x).toBe(bottom?.x)
    const [start, end] = grid(desktop, 2)
    expect(start?.y).toBe(end?.y)
  })

  it('shows at most six pictures on a phone', () => {
    expect(grid(phone, 25)).toHaveLength(6)
  })

  it('centres an incomplete last row', () => {
    const [, , last] = grid({ width: 800, height: 600 }, 3)
    expect((last?.x ?? 0) + (last?.width ?? 0) / 2).toBeCloseTo(400, -1)
  })
})

describe('spotlight', () => {
  it('gives the first tile most of a wide stage and the full width of a phone', () => {
    const [wide] = spotlight(desktop, 4)
    expect((wide?.width ?? 0) / desktop.width).toBeGreaterThan(0.7)
    expect(wide?.height).toBe(desktop.height)
    const [upright, below] = spotlight(phone, 4)
    expect(upright?.width).toBe(phone.width)
    expect(below?.y).toBeGreaterThan(upright?.height ?? 0)
  })
})
