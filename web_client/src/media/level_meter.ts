// How loud a microphone is, 0 to 1, for the bar on the page before joining.

/** Calls `report` about 20 times a second until the returned function is called. */
export function startLevelMeter(
  track: MediaStreamTrack,
  report: (level: number) => void,
): () => void {
  const context = new AudioContext()
  const analyser = context.createAnalyser()
  analyser.fftSize = 512
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser)
  const samples = new Uint8Array(analyser.fftSize)
  const timer = setInterval(() => {
    analyser.getByteTimeDomainData(samples)
    report(levelOf(samples))
  }, 50)
  void context.resume()
  return () => {
    clearInterval(timer)
    void context.close()
  }
}

const QUIET_DB = -50
const LOUD_DB = -12

/** The level of unsigned 8-bit samples: RMS on a decibel scale, since ears hear so. */
export function levelOf(samples: Uint8Array): number {
  let sum = 0
  for (const sample of samples) sum += ((sample - 128) / 128) ** 2
  const rms = Math.sqrt(sum / Math.max(1, samples.length))
  if (rms === 0) return 0
  const decibels = 20 * Math.log10(rms)
  return Math.min(1, Math.max(0, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB)))
}
