// A notice in words, with a button that puts it away.

import type { Signal } from '@preact/signals'
import { messages } from '../i18n'
import { type Notice, wordingOf } from '../state/notice'

export function NoticeBox({ notice }: { notice: Signal<Notice | null> }) {
  const text = messages.value
  const current = notice.value
  return (
    <div role="status">
      {current && (
        <div class="notice">
          <div>
            {wordingOf(current, text, navigator.userAgent).map((sentence) => (
              <p key={sentence}>{sentence}</p>
            ))}
          </div>
          {current.kind !== 'info' && (
            <button
              type="button"
              class="button"
              onClick={() => {
                notice.value = null
              }}
            >
              {text.dismiss}
            </button>
          )}
        </div>
      )}
    </div>
  )
}
