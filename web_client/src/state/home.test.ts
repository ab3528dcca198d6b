import { describe, expect, it, vi } from 'vitest'
import type { Api } from '../signal/api'
import { CallError } from './errors'
import { HomeModel } from './home'

const apiWith = (createConference: Api['createConference']): Api => ({
  createConference,
  join: () => Promise.reject(new Error('not used here')),
})

describe('HomeModel', () => {
  it('creates one conference, however often the button is tapped', async () => {
    const create = vi.fn(async () => ({ name: 'abc' }))
    const home = new HomeModel(apiWith(create))
    await Promise.all([home.create(), home.create()])
    expect(create).toHaveBeenCalledTimes(1)
    expect(home.state.value).toEqual({ kind: 'created', conference: 'abc' })
  })

  it('sends the title as typed, without the spaces around it', async () => {
    const create = vi.fn(async () => ({ name: 'abc' }))
    const home = new HomeModel(apiWith(create))
    home.title.value = ' Fête de l’école '
    await home.create()
    expect(create).toHaveBeenCalledWith('Fête de l’école')
  })

  it('keeps the reason of a failure and can be tried again', async () => {
    const create = vi.fn<Api['createConference']>()
    create.mockRejectedValueOnce(new CallError('unreachable'))
    create.mockResolvedValueOnce({ name: 'abc' })
    const home = new HomeModel(apiWith(create))
    await home.create()
    expect(home.state.value).toEqual({ kind: 'failed', error: 'unreachable' })
    await home.create()
    expect(home.state.value.kind).toBe('created')
  })
})
