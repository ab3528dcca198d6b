// The keyboard shortcuts, as a list.

import { messages } from '../i18n'
import { Dialog } from './dialog'

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const text = messages.value
  const shortcuts = [
    ['M', text.shortcutMicrophone],
    ['V', text.shortcutCamera],
    ['D', text.lowData],
    ['?', text.shortcutHelp],
  ]
  return (
    <Dialog title={text.keyboardHelp} onClose={onClose}>
      <dl class="shortcuts">
        {shortcuts.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
