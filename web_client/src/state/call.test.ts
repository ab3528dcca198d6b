import { beforeEach, describe, expect, it, vi } from 'vitest'
import { CaptureError } from '../media/capture'
import type { Admission } from '../signal/api'
import { Bench, newTrack, person } from '../testing/bench'
import { CallError } from './errors'

let bench: Bench
beforeEach(() => {
  bench = new Bench()
})

const phase = () => bench.call.phase.value

describe('joining', () => {
  it('listens with one tap: no device opened, sound unlocked within the tap', async () => {
    const listening = bench.call.listen()
    expect(bench.session.unlocked).toBe(1) // before anything was awaited
    await listening
    expect(phase().kind).toBe('inCall')
    expect(bench.joins).toEqual([['listener', '']])
    expect(bench.tracks).toHaveLength(0)
    expect(bench.call.title.value).toBe('Fête')
  })

  it('waits for the engine when it is not here yet', async () => {
    bench.engineLoaded = false
    await bench.call.listen()
    expect(phase().kind).toBe('inCall')
    expect(bench.session.unlocked).toBeGreaterThan(0)
  })

  it('publishes the devices that were on, and only those', async () => {
    bench.call.setName(' Awa ')
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    expect(bench.joins).toEqual([['speaker', 'Awa']])
    expect([...bench.session.published.keys()]).toEqual(['microphone'])
    expect(bench.call.microphoneOn.value).toBe(true)
  })

  it('says why it was refused, closes the devices, and can try again', async () => {
    await bench.call.devices.toggle('microphone')
    bench.joinAnswer = () => Promise.reject(new CallError('conference_not_found'))
    await bench.call.joinAsSpeaker()
    expect(phase()).toEqual({ kind: 'failed', error: 'conference_not_found' })
    expect(bench.tracks[0]?.stop).toHaveBeenCalled()

    bench.joinAnswer = async () => ({ url: 'ws://h', token: 't', title: null })
    await bench.call.rejoin()
    expect(phase().kind).toBe('inCall')
  })

  it('drops a session that connects after one has given up', async () => {
    let admit: (admission: Admission) => void = () => undefined
    bench.joinAnswer = () =>
      new Promise((resolve) => {
        admit = resolve
      })
    const joining = bench.call.listen()
    bench.call.cancel()
    expect(phase().kind).toBe('lobby')
    admit({ url: 'ws://h', token: 't', title: null })
    await joining
    expect(phase().kind).toBe('lobby')
    expect(bench.session.left).toBe(true)
    expect(bench.ongoing).toBeNull()
  })
})

describe('during a call', () => {
  it('mutes and unmutes without opening the device again', async () => {
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    await bench.call.toggle('microphone')
    expect(bench.call.microphoneOn.value).toBe(false)
    expect(bench.ongoing?.microphone).toBe(false)
    await bench.call.toggle('microphone')
    expect(bench.call.microphoneOn.value).toBe(true)
    expect(bench.tracks).toHaveLength(1)
  })

  it('publishes again what an interruption kept from being published', async () => {
    bench.call.setName('Awa')
    await bench.call.joinAsSpeaker()
    const { session } = bench
    session.publishError = new Error('connection closed')
    const turningOn = bench.call.toggle('microphone')
    session.events.interrupted() // noticed only after the tap
    await vi.waitFor(() => expect(bench.tracks).toHaveLength(1))
    session.publishError = null
    session.events.restored()
    await turningOn
    expect(session.has('microphone')).toBe(true)
  })

  it('gives a device up, and says so, when it cannot be published at all', async () => {
    bench.call.setName('Awa')
    await bench.call.joinAsSpeaker()
    bench.session.publishError = new Error('no route')
    await bench.call.toggle('microphone')
    expect(bench.tracks[0]?.stop).toHaveBeenCalled()
    expect(bench.call.notice.value).toEqual({ kind: 'error', code: 'media_connection_failed' })
  })

  it('goes on when a device is refused, and explains', async () => {
    bench.call.setName('Awa')
    await bench.call.joinAsSpeaker()
    bench.openDevice = (kind) => Promise.reject(new CaptureError(kind, 'denied'))
    await bench.call.toggle('camera')
    expect(phase().kind).toBe('inCall')
    expect(bench.call.notice.value).toEqual({
      kind: 'capture',
      device: 'camera',
      problem: 'denied',
    })
    expect(bench.call.busy.value).toBeNull()
  })

  it('asks a listener for a name before the microphone, then makes them a speaker', async () => {
    await bench.call.listen()
    const listening = bench.session
    await bench.call.toggle('microphone')
    expect(bench.call.nameWantedFor.value).toBe('microphone')
    expect(bench.tracks).toHaveLength(0)

    await bench.call.answerName('Awa')
    expect(bench.joins).toEqual([
      ['listener', ''],
      ['speaker', 'Awa'],
    ])
    expect(bench.session).not.toBe(listening)
    expect(listening.left).toBe(true)
    expect(bench.session.has('microphone')).toBe(true)
    expect(bench.call.role.value).toBe('speaker')
    expect(phase().kind).toBe('inCall')
  })

  it('keeps listening when becoming a speaker fails', async () => {
    bench.call.setName('Awa')
    await bench.call.listen()
    const listening = bench.session
    bench.nextConnectError = new CallError('unreachable')
    await bench.call.toggle('microphone')
    expect(listening.left).toBe(false)
    expect(bench.call.role.value).toBe('listener')
    expect(bench.call.notice.value).toEqual({ kind: 'error', code: 'unreachable' })
    expect(bench.tracks[0]?.stop).toHaveBeenCalled()
    listening.report(person('b'))
    expect(bench.call.count.value).toBe(2)
  })

  it('does nothing when the name is not given', async () => {
    await bench.call.listen()
    await bench.call.toggle('microphone')
    await bench.call.answerName(null)
    expect(bench.call.nameWantedFor.value).toBeNull()
    expect(bench.joins).toHaveLength(1)
  })
})

describe('low data', () => {
  it('chosen before, comes with the request to join, and holds in the session', async () => {
    bench.call.toggleLowData()
    await bench.call.listen()
    expect(bench.limits_kbps).toEqual([100])
    expect(bench.session.limit_kbps).toBe(100)
    expect(bench.lowData).toBe(true)
    expect(bench.call.notice.value).toBeNull()
  })

  it('is switched during a call, which says so', async () => {
    await bench.call.listen()
    expect(bench.limits_kbps).toEqual([null])
    bench.call.toggleLowData()
    expect(bench.session.limit_kbps).toBe(100)
    expect(bench.call.notice.value).toEqual({ kind: 'info', message: 'lowDataOn' })
    bench.call.toggleLowData()
    expect(bench.session.limit_kbps).toBeNull()
    expect(bench.call.notice.value).toEqual({ kind: 'info', message: 'lowDataOff' })
    expect(bench.joins).toHaveLength(1)
  })

  it('goes with a listener who becomes a speaker, also when switched meanwhile', async () => {
    bench.call.setName('Awa')
    await bench.call.listen()
    let admit: (admission: Admission) => void = () => undefined
    bench.joinAnswer = () =>
      new Promise((resolve) => {
        admit = resolve
      })
    const speaking = bench.call.toggle('microphone')
    await vi.waitFor(() => expect(bench.sessions).toHaveLength(2))
    bench.call.toggleLowData()
    await vi.waitFor(() => expect(bench.joins).toHaveLength(2))
    admit({ url: 'ws://h', token: 't', title: null })
    await speaking
    expect(bench.call.role.value).toBe('speaker')
    expect(bench.session.limit_kbps).toBe(100)
  })

  it('counts what every session of the call has spent, those left included', async () => {
    bench.call.setName('Awa')
    await bench.call.listen()
    const listening = bench.session
    listening.events.spent(1000)
    await bench.call.toggle('microphone')
    listening.events.spent(30)
    bench.session.events.spent(500)
    expect(bench.call.data.spent_bytes.value).toBe(1530)
    expect(bench.ongoing?.spent_bytes).toBe(1530)
  })
})

describe('interruptions', () => {
  it('shows reconnecting, then says that it worked, for a while', async () => {
    vi.useFakeTimers()
    await bench.call.listen()
    bench.session.events.interrupted()
    expect(phase().kind).toBe('reconnecting')
    bench.session.events.restored()
    expect(phase().kind).toBe('inCall')
    expect(bench.call.notice.value).toEqual({ kind: 'info', message: 'reconnected' })
    vi.advanceTimersByTime(5000)
    expect(bench.call.notice.value).toBeNull()
    vi.useRealTimers()
  })

  it('goes back in by itself when the network returns, with the microphone as it was', async () => {
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    bench.session.events.disconnected('connection_lost')
    expect(phase()).toEqual({ kind: 'lost', error: 'connection_lost' })
    await bench.call.retryIfLost()
    expect(phase().kind).toBe('inCall')
    expect(bench.session.has('microphone')).toBe(true)
    expect(bench.sessions).toHaveLength(2)
  })

  it('stays out after being removed, also by a reload', async () => {
    await bench.call.listen()
    bench.session.events.disconnected('removed')
    await bench.call.retryIfLost()
    expect(phase()).toEqual({ kind: 'lost', error: 'removed' })
    expect(bench.ongoing).toBeNull()
  })

  it('comes back by itself after the server restarts', async () => {
    vi.useFakeTimers()
    await bench.call.listen()
    bench.session.events.disconnected('server_stopping')
    expect(phase().kind).toBe('lost')
    await vi.advanceTimersByTimeAsync(6000)
    expect(phase().kind).toBe('inCall')
    expect(bench.sessions).toHaveLength(2)
    vi.useRealTimers()
  })

  it('keeps people on the stage when lost, without frozen pictures', async () => {
    await bench.call.listen()
    const camera = { id: 'v', attach: () => undefined, detach: () => undefined }
    bench.session.report(person('b', { camera, isSpeaking: true }))
    bench.session.events.disconnected('connection_lost')
    const shown = bench.call.people.value.find((p) => p.identity === 'b')
    expect(shown).toMatchObject({ camera: null, isSpeaking: false })
  })

  it('is deaf to a session that was left', async () => {
    await bench.call.listen()
    const { session } = bench
    await bench.call.leave()
    session.events.disconnected('connection_lost')
    session.report(person('b'))
    expect(phase().kind).toBe('left')
    expect(bench.call.people.value).toEqual([])
  })
})

describe('reload', () => {
  const ongoing = {
    conference: 'salon',
    role: 'speaker',
    microphone: true,
    camera: false,
    spent_bytes: 7,
  } as const

  it('goes straight back in as the call was left', async () => {
    bench = new Bench((b) => {
      b.ongoing = ongoing
      b.name = 'Awa'
    })
    const resuming = bench.call.resume()
    expect(phase().kind).toBe('joining') // at once: the lobby never flashes
    expect(await resuming).toBe(true)
    expect(bench.joins).toEqual([['speaker', 'Awa']])
    expect([...bench.session.published.keys()]).toEqual(['microphone'])
    expect(bench.call.data.spent_bytes.value).toBe(7)
  })

  it('opens no device that would prompt', async () => {
    bench = new Bench((b) => {
      b.ongoing = ongoing
      b.allowed = false
    })
    await bench.call.resume()
    expect(phase().kind).toBe('inCall')
    expect(bench.tracks).toHaveLength(0)
  })

  it('shows the lobby to whoever was not in, or has left', async () => {
    expect(await bench.call.resume()).toBe(false)
    expect(phase().kind).toBe('lobby')
    await bench.call.listen()
    await bench.call.leave()
    expect(await bench.call.resume()).toBe(false)
  })
})

describe('rejoining', () => {
  it('after leaving opens the devices that were on, asking if it must', async () => {
    bench = new Bench((b) => {
      b.allowed = false
    })
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    await bench.call.leave()
    await bench.call.rejoin()
    expect(bench.session.has('microphone')).toBe(true)
    expect(bench.call.microphoneOn.value).toBe(true)
  })

  it('leaves muted what was muted', async () => {
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    await bench.call.toggle('microphone')
    await bench.call.leave()
    await bench.call.rejoin()
    expect(bench.session.has('microphone')).toBe(false)
  })

  it('is in the call before a slow device is, whose button waits', async () => {
    await bench.call.devices.toggle('microphone')
    await bench.call.joinAsSpeaker()
    await bench.call.leave()
    let grant: (track: MediaStreamTrack) => void = () => undefined
    bench.openDevice = () =>
      new Promise((resolve) => {
        grant = resolve
      })
    const rejoining = bench.call.rejoin()
    await vi.waitFor(() => expect(phase().kind).toBe('inCall'))
    await bench.call.toggle('microphone')
    expect(bench.call.busy.value).toBe('microphone')
    grant(newTrack())
    await rejoining
    expect(bench.session.has('microphone')).toBe(true)
    expect(bench.call.busy.value).toBeNull()
  })
})
