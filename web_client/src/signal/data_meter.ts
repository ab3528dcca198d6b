// Counts what a session costs, from what browsers count themselves.
//
// A candidate pair's bytes are those of datagrams in Chromium, Firefox and
// Safari alike; headers of IP and UDP, a third of a voice's cost, are added for
// every RTP packet. Entries come and go with paths and tracks, so that each is
// counted by what it has grown. Signalling is counted at the WebSocket.

/** IPv4 and UDP. */
const DATAGRAM_HEADER_BYTES = 28
/** IPv4, TCP with timestamps, a TLS record and a frame's head. */
const MESSAGE_OVERHEAD_BYTES = 80

/** The fields of statistics that are read here. */
interface Entry {
  readonly id: string
  readonly type: string
  readonly bytesSent?: number
  readonly bytesReceived?: number
  readonly packetsSent?: number
  readonly packetsReceived?: number
}

interface Report {
  forEach(visit: (entry: Entry) => void): void
}

function cost_bytes(entry: Entry): number {
  switch (entry.type) {
    case 'candidate-pair':
      return (entry.bytesSent ?? 0) + (entry.bytesReceived ?? 0)
    case 'inbound-rtp':
    case 'outbound-rtp':
      return DATAGRAM_HEADER_BYTES * ((entry.packetsSent ?? 0) + (entry.packetsReceived ?? 0))
    default:
      return 0
  }
}

export class DataMeter {
  /** By connection, as ids repeat between those, and then by the entry's id. */
  readonly #counted = new WeakMap<object, Map<string, number>>()

  /** By how much what this connection has cost has grown, in bytes. */
  grown_bytes(connection: object, report: Report): number {
    const counted = this.#counted.get(connection) ?? new Map<string, number>()
    this.#counted.set(connection, counted)
    let grown = 0
    report.forEach((entry) => {
      const now = cost_bytes(entry)
      const before = counted.get(entry.id) ?? 0
      if (now === before) return
      grown += now > before ? now - before : now // smaller: the entry began anew
      counted.set(entry.id, now)
    })
    return grown
  }
}

let signalling_bytes = 0

function countMessage(data: unknown): void {
  const size = data instanceof ArrayBuffer || ArrayBuffer.isView(data) ? data.byteLength : 0
  signalling_bytes += size + MESSAGE_OVERHEAD_BYTES
}

/** What WebSockets have carried since this was asked last. */
export function takeSignalling_bytes(): number {
  const taken = signalling_bytes
  signalling_bytes = 0
  return taken
}

/** From here on the page's WebSockets are counted: its library tells nobody what they carry. */
export function countWebSockets(scope: { WebSocket: typeof WebSocket }): void {
  scope.WebSocket = class extends scope.WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols)
      this.addEventListener('message', (event) => countMessage(event.data))
    }

    override send(data: Parameters<WebSocket['send']>[0]): void {
      countMessage(data)
      super.send(data)
    }
  }
}
