// A conference's link with the ways to hand it out.

import { messages } from '../i18n'
import { type ShareModel, whatsAppLink } from '../state/share'
import { Icon } from './icons'

export function SharePanel({ share }: { share: ShareModel }) {
  const text = messages.value
  const copied = share.copy.value === 'copied'
  return (
    <div class="share">
      <input
        class="link"
        readOnly
        dir="ltr"
        value={share.link}
        aria-label={text.conferenceLink}
        onFocus={(event) => event.currentTarget.select()}
      />
      <button type="button" class="button" onClick={() => void share.copyLink()}>
        <Icon name={copied ? 'check' : 'copy'} />
        <span role="status">{copied ? text.copied : text.copyLink}</span>
      </button>
      {share.copy.value === 'failed' && (
        <p class="hint" role="status">
          {text.copyByHand}
        </p>
      )}
      <a
        class="button"
        href={whatsAppLink(text.shareText(share.link))}
        target="_blank"
        rel="noreferrer"
      >
        <Icon name="whatsApp" />
        {text.shareWhatsApp}
      </a>
      <button
        type="button"
        class="button"
        aria-expanded={share.qr.value !== null}
        onClick={() => void share.toggleQr()}
      >
        <Icon name="qr" />
        {text.showQr}
      </button>
      <QrCode share={share} />
    </div>
  )
}

function QrCode({ share }: { share: ShareModel }) {
  const qr = share.qr.value
  if (!qr) return null
  return (
    <svg
      class="qr-code"
      viewBox={`0 0 ${qr.size} ${qr.size}`}
      role="img"
      aria-label={messages.value.qrLabel}
    >
      <path d={qr.path} />
    </svg>
  )
}
