import { describe, expect, it, vi } from 'vitest'
import { modulesPath, ShareModel, whatsAppLink } from './share'

describe('ShareModel', () => {
  it('copies the full link', async () => {
    const writeText = vi.spyOn(navigator.clipboard, 'writeText').mockResolvedValue()
    const share = new ShareModel('fête 1')
    await share.copyLink()
    expect(writeText).toHaveBeenCalledWith(`${location.origin}/c/f%C3%AAte%201`)
    expect(share.copy.value).toBe('copied')
  })

  it('says so when copying is refused', async () => {
    vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValue(new Error('denied'))
    const share = new ShareModel('x')
    await share.copyLink()
    expect(share.copy.value).toBe('failed')
  })

  it('shows a QR code and hides it again', async () => {
    const share = new ShareModel('x')
    await share.toggleQr()
    expect(share.qr.value?.size).toBeGreaterThan(20)
    await share.toggleQr()
    expect(share.qr.value).toBeNull()
  })
})

describe('modulesPath', () => {
  it('draws runs of dark modules and nothing else', () => {
    const T = true
    const F = false
    expect(
      modulesPath([
        [T, T, F],
        [F, F, F],
        [F, T, T],
      ]),
    ).toBe('M0 0h2v1H0zM1 2h2v1H1z')
  })
})

describe('whatsAppLink', () => {
  it('escapes the text, so that a link inside it survives', () => {
    const link = new URL(whatsAppLink('Venez : https://k.ml/c/a?b&c'))
    expect(link.searchParams.get('text')).toBe('Venez : https://k.ml/c/a?b&c')
  })
})
