import { beforeEach, describe, expect, it, vi } from 'vitest'
import { DataSaver } from './data_saver'
import { browserPreferences } from './preferences'

beforeEach(() => {
  localStorage.clear()
})

describe('DataSaver', () => {
  it('is off at first, and remembered on this device once switched on', () => {
    const first = new DataSaver(browserPreferences)
    expect(first.limit_kbps).toBeNull()
    first.toggle()
    expect(first.limit_kbps).toBe(100)
    expect(new DataSaver(browserPreferences).on.value).toBe(true)
  })

  it('follows a browser that saves data, until somebody decides otherwise', () => {
    vi.stubGlobal('navigator', { connection: { saveData: true } })
    const saver = new DataSaver(browserPreferences)
    expect(saver.on.value).toBe(true)
    saver.toggle()
    expect(new DataSaver(browserPreferences).on.value).toBe(false)
  })

  it('adds up what is spent', () => {
    const saver = new DataSaver(browserPreferences)
    saver.spend(1000)
    saver.spend(500)
    expect(saver.spent_bytes.value).toBe(1500)
  })
})
