import { describe, expect, it } from 'vitest'
import { countWebSockets, DataMeter, takeSignalling_bytes } from './data_meter'

const connection = {}
const pair = (id: string, sent: number, received: number) => ({
  id,
  type: 'candidate-pair',
  bytesSent: sent,
  bytesReceived: received,
})

describe('DataMeter', () => {
  it('counts datagrams, and the headers of each RTP packet', () => {
    const meter = new DataMeter()
    const report = [
      pair('CP1', 1000, 5000),
      { id: 'IT1', type: 'inbound-rtp', packetsReceived: 50, bytesReceived: 4000 },
      { id: 'OT1', type: 'outbound-rtp', packetsSent: 10, bytesSent: 900 },
      { id: 'T1', type: 'transport', bytesSent: 1000, bytesReceived: 5000 },
    ]
    expect(meter.grown_bytes(connection, report)).toBe(6000 + 60 * 28)
    expect(meter.grown_bytes(connection, report)).toBe(0)
  })

  it('keeps what a path or a track has cost when it is gone', () => {
    const meter = new DataMeter()
    expect(meter.grown_bytes(connection, [pair('wifi', 0, 700)])).toBe(700)
    expect(meter.grown_bytes(connection, [pair('mobile', 0, 50)])).toBe(50)
    expect(meter.grown_bytes(connection, [pair('mobile', 0, 90)])).toBe(40)
  })

  it('counts an entry that begins anew from nothing', () => {
    const meter = new DataMeter()
    meter.grown_bytes(connection, [pair('CP1', 0, 700)])
    expect(meter.grown_bytes(connection, [pair('CP1', 0, 30)])).toBe(30)
  })

  it('tells connections apart whose entries have the same names', () => {
    const meter = new DataMeter()
    expect(meter.grown_bytes(connection, [pair('CP1', 0, 700)])).toBe(700)
    expect(meter.grown_bytes({}, [pair('CP1', 0, 800)])).toBe(800)
  })
})

describe('countWebSockets', () => {
  it('counts both directions with what carries a message', () => {
    const sent: unknown[] = []
    class Plain extends EventTarget {
      send(data: unknown) {
        sent.push(data)
      }
    }
    const scope = { WebSocket: Plain as unknown as typeof WebSocket }
    countWebSockets(scope)
    takeSignalling_bytes()
    const socket = new scope.WebSocket('ws://h')
    socket.send(new Uint8Array(20))
    socket.dispatchEvent(new MessageEvent('message', { data: new ArrayBuffer(1000) }))
    expect(takeSignalling_bytes()).toBe(1020 + 160)
    expect(takeSignalling_bytes()).toBe(0)
    expect(sent).toHaveLength(1)
  })
})
