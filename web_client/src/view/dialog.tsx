// A modal dialog on the browser's own <dialog>: focus trap and Escape come with it.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { messages } from '../i18n'
import { Icon } from './icons'

interface Props {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
}

export function Dialog({ title, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const element = dialog.current
    // Browsers before 2022 may know no modal dialogs: an open one still serves.
    if (element?.showModal) element.showModal()
    else element?.setAttribute('open', '')
    return () => element?.close?.()
  }, [])
  return (
    <dialog ref={dialog} aria-label={title} onCancel={onClose} class="dialog">
      <header>
        <h2>{title}</h2>
        <button
          type="button"
          class="icon-button"
          aria-label={messages.value.close}
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  )
}
