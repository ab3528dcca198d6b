import { describe, expect, it } from 'vitest'
import { CallError, errorCodeOf, errorCodeOfResponse } from './errors'

describe('errorCodeOfResponse', () => {
  it('keeps a code the page can explain, whatever the status', () => {
    expect(errorCodeOfResponse(400, 'invalid_name')).toBe('invalid_name')
  })

  it('falls back to the status for codes of a newer server', () => {
    expect(errorCodeOfResponse(404, 'conference_archived')).toBe('conference_not_found')
    expect(errorCodeOfResponse(429, null)).toBe('too_many_requests')
    expect(errorCodeOfResponse(418, { nested: true })).toBe('server_error')
  })

  it('is not fooled by names every object has', () => {
    expect(errorCodeOfResponse(500, 'constructor')).toBe('server_error')
  })
})

describe('errorCodeOf', () => {
  it('names the code of a CallError and hides anything else', () => {
    expect(errorCodeOf(new CallError('removed'))).toBe('removed')
    expect(errorCodeOf(new TypeError('x is undefined'))).toBe('server_error')
    expect(errorCodeOf('boom')).toBe('server_error')
  })
})
