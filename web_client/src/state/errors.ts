// What can go wrong, as codes, and what each code means to a person: one
// translated sentence and one button. Codes come from the server's API, from
// the call engine, and from this page; prose never travels with them.

import type { TextKey } from '../i18n'

/** The one thing a person can do about an error. */
export type Remedy = 'retry' | 'rejoin' | 'reload' | 'home' | 'dismiss'

interface Explanation {
  readonly message: TextKey
  readonly remedy: Remedy
}

const explanations = {
  conference_not_found: { message: 'errorConferenceNotFound', remedy: 'home' },
  conference_full: { message: 'errorConferenceFull', remedy: 'retry' },
  invalid_name: { message: 'errorInvalidName', remedy: 'dismiss' },
  invalid_title: { message: 'errorInvalidTitle', remedy: 'dismiss' },
  too_many_requests: { message: 'errorTooManyRequests', remedy: 'retry' },
  unreachable: { message: 'errorUnreachable', remedy: 'retry' },
  server_error: { message: 'errorServer', remedy: 'retry' },
  engine_load_failed: { message: 'errorEngineLoad', remedy: 'reload' },
  media_connection_failed: { message: 'errorMediaConnection', remedy: 'retry' },
  token_rejected: { message: 'errorRejected', remedy: 'rejoin' },
  connection_lost: { message: 'errorConnectionLost', remedy: 'rejoin' },
  removed: { message: 'errorRemoved', remedy: 'home' },
  conference_ended: { message: 'errorEnded', remedy: 'home' },
  joined_elsewhere: { message: 'errorJoinedElsewhere', remedy: 'rejoin' },
  server_stopping: { message: 'errorServerStopping', remedy: 'rejoin' },
} as const satisfies Record<string, Explanation>

export type ErrorCode = keyof typeof explanations

export const explain = (code: ErrorCode): Explanation => explanations[code]

const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.keys(explanations).includes(code)

/** An error a person can be told about. */
export class CallError extends Error {
  constructor(readonly code: ErrorCode) {
    super(code)
    this.name = 'CallError'
  }
}

/** The code to show for anything thrown; what nobody foresaw is `server_error`. */
export const errorCodeOf = (thrown: unknown): ErrorCode =>
  thrown instanceof CallError ? thrown.code : 'server_error'

/**
 * The code of a refused API request: the server's own when the page knows it,
 * else what the HTTP status says.
 */
export function errorCodeOfResponse(status: number, code: unknown): ErrorCode {
  if (isErrorCode(code)) return code
  if (status === 404) return 'conference_not_found'
  if (status === 429) return 'too_many_requests'
  if (status === 401 || status === 403) return 'token_rejected'
  if (status === 503) return 'conference_full'
  return 'server_error'
}
