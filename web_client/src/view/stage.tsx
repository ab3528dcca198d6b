// The stage: tiles placed by the layout, moved smoothly when it changes.

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { messages } from '../i18n'
import type { Person } from '../signal/engine'
import { orderTiles, tilesOf } from '../state/tiles'
import { autoLayout } from './layouts/auto'
import type { StageSize } from './layouts/layout'
import { TileView } from './tile_view'

export function Stage({ people }: { people: readonly Person[] }) {
  const element = useRef<HTMLDivElement>(null)
  const size = useStageSize(element)
  const order = useRef<readonly string[]>([])

  const tiles = tilesOf(people)
  const boxes = autoLayout(tiles.some((tile) => tile.source === 'screen'))(size, tiles.length)
  const ordered = orderTiles(order.current, tiles, boxes.length)
  order.current = ordered.map((tile) => tile.id)
  const hidden = tiles.length - boxes.length
  return (
    <div class="stage" ref={element}>
      {boxes.map((box, index) => {
        const tile = ordered[index]
        return tile && <TileView key={tile.id} tile={tile} box={box} />
      })}
      {hidden > 0 && size.width > 0 && <p class="more">{messages.value.moreTiles(hidden)}</p>}
    </div>
  )
}

function useStageSize(element: { readonly current: HTMLElement | null }): StageSize {
  const size = useSignal<StageSize>({ width: 0, height: 0 })
  useEffect(() => {
    if (!element.current) return
    const observer = new ResizeObserver(([entry]) => {
      if (!entry) return
      const { width, height } = entry.contentRect
      size.value = { width: Math.floor(width), height: Math.floor(height) }
    })
    observer.observe(element.current)
    return () => observer.disconnect()
  }, [element, size])
  return size.value
}
