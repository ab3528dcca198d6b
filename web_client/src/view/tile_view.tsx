// One tile: a picture or initials, a name, and who is heard.

import { useEffect, useRef } from 'preact/hooks'
import { messages } from '../i18n'
import type { Picture } from '../signal/engine'
import { hueOf, initialsOf, type Tile } from '../state/tiles'
import { Icon } from './icons'
import type { Box } from './layouts/layout'

export function TileView({ tile, box }: { tile: Tile; box: Box }) {
  const text = messages.value
  const { person, source } = tile
  const name = person.name || text.guest
  const shownName = source === 'screen' ? text.screenOf(name) : name
  const picture = source === 'screen' ? person.screen : person.camera
  const speaking = source === 'camera' && person.isSpeaking
  const muted = source === 'camera' && !person.microphoneOn
  return (
    <article
      class={`tile ${source} ${speaking ? 'speaking' : ''}`}
      style={{
        transform: `translate(${box.x}px, ${box.y}px)`,
        width: `${box.width}px`,
        height: `${box.height}px`,
        '--side': `${Math.min(box.width, box.height)}px`,
      }}
    >
      {picture ? (
        <PictureView picture={picture} mirrored={person.isLocal && source === 'camera'} />
      ) : (
        <span class={`initials hue-${hueOf(person.identity)}`} aria-hidden="true">
          {initialsOf(name)}
        </span>
      )}
      <p class="tile-name">
        {muted && <Icon name="microphoneOff" />}
        {speaking && <Icon name="sound" />}
        {source === 'screen' && <Icon name="screen" />}
        <span class="ellipsis">
          {shownName}
          {person.isLocal && ` (${text.you})`}
        </span>
        {muted && <span class="visually-hidden">, {text.microphoneOff}</span>}
        {speaking && <span class="visually-hidden">, {text.speakingNow}</span>}
      </p>
    </article>
  )
}

function PictureView({ picture, mirrored }: { picture: Picture; mirrored: boolean }) {
  const video = useRef<HTMLVideoElement>(null)
  useEffect(() => {
    const element = video.current
    if (!element) return
    picture.attach(element)
    return () => picture.detach(element)
  }, [picture])
  return <video ref={video} class={mirrored ? 'mirrored' : ''} autoplay muted playsInline />
}
