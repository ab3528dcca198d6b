// What losing a call means, by its reason: whether to come back, and when.

import type { Person } from '../signal/engine'
import type { ErrorCode } from './errors'

/** Whether a reload should not go straight back in. */
export const isFinal = (error: ErrorCode): boolean =>
  error === 'removed' || error === 'conference_ended'

/** Whether entering again can be expected to work, without anybody's decision. */
export const isPassing = (error: ErrorCode): boolean =>
  error === 'connection_lost' || error === 'server_stopping'

/** A stopping server loses everybody at once; they come back spread over some seconds. */
export const comeBackDelay_ms = (): number => 2000 + Math.random() * 4000

/** Somebody as last known, once their pictures have stopped. */
export const withoutPictures = (person: Person): Person => ({
  ...person,
  isSpeaking: false,
  camera: null,
  screen: null,
})
