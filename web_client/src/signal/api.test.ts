import { describe, expect, it, vi } from 'vitest'
import { serverApi } from './api'

const answer = (status: number, body: unknown) =>
  vi.stubGlobal(
    'fetch',
    vi.fn(
      async () => new Response(typeof body === 'string' ? body : JSON.stringify(body), { status }),
    ),
  )

const sentBody = () => JSON.parse(vi.mocked(fetch).mock.calls[0]?.[1]?.body as string)

describe('serverApi', () => {
  it('joins at the address the server names, and at its own when it names none', async () => {
    answer(200, { url: 'wss://media.example', token: 't', identity: 'p1', title: 'Fête' })
    expect(await serverApi.join('a b', 'listener', '', null)).toEqual({
      url: 'wss://media.example',
      token: 't',
      title: 'Fête',
    })
    expect(vi.mocked(fetch).mock.calls[0]?.[0]).toBe('/api/conferences/a%20b/join')
    expect(sentBody()).toEqual({ role: 'listener' })

    answer(200, { url: '', token: 't' })
    const admission = await serverApi.join('a', 'speaker', 'Awa', null)
    expect(admission.url).toBe(location.origin.replace('http', 'ws'))
    expect(sentBody()).toEqual({ role: 'speaker', display_name: 'Awa' })
  })

  it('turns refusals into codes', async () => {
    answer(404, { code: 'conference_not_found', params: {} })
    await expect(serverApi.join('x', 'listener', '', null)).rejects.toMatchObject({
      code: 'conference_not_found',
    })
    answer(502, '<html>Bad gateway</html>')
    await expect(serverApi.createConference('')).rejects.toMatchObject({ code: 'server_error' })
  })

  it('does not take an answer without a token, or of another shape, for an admission', async () => {
    for (const body of [{ url: 'ws://h' }, { token: 7 }, null, [], 'not json']) {
      answer(200, body)
      await expect(serverApi.join('x', 'listener', '', null)).rejects.toMatchObject({
        code: 'server_error',
      })
    }
  })

  it('says unreachable when the network fails', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')))
    await expect(serverApi.createConference('')).rejects.toMatchObject({ code: 'unreachable' })
  })
})
