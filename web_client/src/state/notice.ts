// Something to tell a person during a call, and its wording. At most one notice
// shows at a time: the latest.

import type { Catalogue, TextKey } from '../i18n'
import type { CaptureProblem } from '../media/capture'
import type { DeviceKind } from '../signal/engine'
import { type ErrorCode, explain } from './errors'

export type Notice =
  | { readonly kind: 'capture'; readonly device: DeviceKind; readonly problem: CaptureProblem }
  | { readonly kind: 'error'; readonly code: ErrorCode }
  | { readonly kind: 'info'; readonly message: TextKey }

const captureMessages = {
  microphone: {
    denied: 'microphoneDenied',
    missing: 'microphoneMissing',
    busy: 'microphoneBusy',
    unsupported: 'captureUnsupported',
    inAppBrowser: 'captureInAppBrowser',
  },
  camera: {
    denied: 'cameraDenied',
    missing: 'cameraMissing',
    busy: 'cameraBusy',
    unsupported: 'captureUnsupported',
    inAppBrowser: 'captureInAppBrowser',
  },
} as const satisfies Record<DeviceKind, Record<CaptureProblem, TextKey>>

/** Where this browser keeps the switch that gives a device back. */
export function unblockKey(userAgent: string): TextKey {
  if (/Firefox\//.test(userAgent)) return 'unblockFirefox'
  if (/Chrome\/|CriOS\//.test(userAgent)) return 'unblockChrome'
  if (/Safari\//.test(userAgent)) return 'unblockSafari'
  return 'unblockOther'
}

/** The sentences of a notice, in order. */
export function wordingOf(notice: Notice, text: Catalogue, userAgent: string): string[] {
  switch (notice.kind) {
    case 'info':
      return [text[notice.message]]
    case 'error':
      return [text[explain(notice.code).message]]
    case 'capture': {
      const said = [text[captureMessages[notice.device][notice.problem]]]
      if (notice.problem === 'denied') said.push(text[unblockKey(userAgent)])
      return said
    }
  }
}
