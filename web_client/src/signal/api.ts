// The server's REST API, as far as the page uses it.

import { CallError, errorCodeOfResponse } from '../state/errors'
import type { Role } from '../state/preferences'

/** Longer than a 3G phone needs to wake its radio, shorter than patience. */
const TIMEOUT_MS = 15_000

export interface CreatedConference {
  readonly name: string
}

/** Permission to enter a conference. */
export interface Admission {
  /** Where to connect: `ws:` or `wss:` */
  readonly url: string
  readonly token: string
  readonly title: string | null
}

export interface Api {
  /** @throws CallError */
  createConference(title: string): Promise<CreatedConference>
  /** @throws CallError */
  join(
    conference: string,
    role: Role,
    displayName: string,
    limit_kbps: number | null,
  ): Promise<Admission>
}

async function post(path: string, body: object): Promise<Record<string, unknown>> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS)
  try {
    const response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: abort.signal,
    }).catch(() => {
      throw new CallError('unreachable')
    })
    const answer = await readObject(response)
    if (!response.ok) throw new CallError(errorCodeOfResponse(response.status, answer.code))
    return answer
  } finally {
    clearTimeout(timer)
  }
}

/** The body as an object; an empty one for anything else (a proxy's error page). */
async function readObject(response: Response): Promise<Record<string, unknown>> {
  const body: unknown = await response.json().catch(() => null)
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
}

function text(answer: Record<string, unknown>, field: string): string {
  const value = answer[field]
  if (typeof value !== 'string' || value === '') throw new CallError('server_error')
  return value
}

const ownSignallingUrl = (): string => location.origin.replace(/^http/, 'ws')

export const serverApi: Api = {
  async createConference(title) {
    const answer = await post('/api/conferences', title === '' ? {} : { title })
    return { name: text(answer, 'name') }
  },

  async join(conference, role, displayName, limit_kbps) {
    const body = {
      role,
      ...(displayName !== '' && { display_name: displayName }),
      ...(limit_kbps !== null && { downlink_limit_kbps: limit_kbps }),
    }
    const answer = await post(`/api/conferences/${encodeURIComponent(conference)}/join`, body)
    return {
      url: typeof answer.url === 'string' && answer.url !== '' ? answer.url : ownSignallingUrl(),
      token: text(answer, 'token'),
      title: typeof answer.title === 'string' && answer.title !== '' ? answer.title : null,
    }
  },
}
