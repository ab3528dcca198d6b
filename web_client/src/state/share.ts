// Handing out a conference's link: copying, WhatsApp, QR code.

import { type Signal, signal } from '@preact/signals'
import { pathOf } from './route'

const COPIED_DURATION_MS = 3000

export type CopyState = 'idle' | 'copied' | 'failed'

const linkOf = (conference: string): string =>
  location.origin + pathOf({ kind: 'conference', name: conference })

export const whatsAppLink = (text: string): string =>
  `https://wa.me/?text=${encodeURIComponent(text)}`

/** A QR code as the path of an SVG whose unit is one module. */
export interface QrImage {
  readonly size: number
  readonly path: string
}

export class ShareModel {
  readonly link: string
  readonly copy: Signal<CopyState> = signal('idle')
  readonly qr: Signal<QrImage | null> = signal(null)

  constructor(conference: string) {
    this.link = linkOf(conference)
  }

  async copyLink(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.link)
      this.copy.value = 'copied'
      setTimeout(() => {
        this.copy.value = 'idle'
      }, COPIED_DURATION_MS)
    } catch {
      this.copy.value = 'failed' // refused, or a browser without a clipboard
    }
  }

  /** Shows the QR code, or hides it; its encoder is fetched the first time. */
  async toggleQr(): Promise<void> {
    if (this.qr.value) {
      this.qr.value = null
      return
    }
    const { encode } = await import('uqr')
    const { data, size } = encode(this.link, { border: 2 })
    this.qr.value = { size, path: modulesPath(data) }
  }
}

/** Dark modules as one SVG path, a horizontal run at a time. */
export function modulesPath(modules: readonly (readonly boolean[])[]): string {
  let path = ''
  for (const [y, row] of modules.entries()) {
    let x = 0
    while (x < row.length) {
      const start = x
      while (row[x]) x += 1
      if (x > start) path += `M${start} ${y}h${x - start}v1H${start}z`
      else x += 1
    }
  }
  return path
}
