// The icons, drawn on a 24-unit grid in strokes. Their source has a size budget
// (npm run size), because it is part of the first load.

const paths = {
  check: 'M5 13l4.5 4.5L19 7.5',
  camera:
    'M4 7h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2zM15 11l6-3.5v9L15 13',
  cameraOff:
    'M9 7h4a2 2 0 0 1 2 2v4m-.6 3.4A2 2 0 0 1 13 17H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2M15 11l6-3.5v9l-3-1.7M3 3l18 18',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h10v11H9zM6 15H5V4h10v2',
  headphones:
    'M4 17v-4a8 8 0 0 1 16 0v4M4 15.500h3v5.500H6a2 2 0 0 1-2-2zM20 15.500h-3v5.500h1a2 2 0 0 0 2-2z',
  help: 'M9.300 9.200a2.800 2.800 0 1 1 4.200 2.400c-1 .6-1.500 1.200-1.500 2.200M12 17.500v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  invite:
    'M10 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM3 20c0-3.300 3-5.500 7-5.500 1.400 0 2.700.3 3.800.7M18 13v7M14.500 16.500h7',
  leave: 'M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M10 12h10M16.500 8.500L20 12l-3.500 3.500',
  microphone:
    'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4M9 21h6',
  microphoneOff:
    'M9 9v2a3 3 0 0 0 4.800 2.400M15 10.500V6a3 3 0 0 0-5.700-1.300M6 11a6 6 0 0 0 9.800 4.600M17.900 12.200L18 11M12 17v4M9 21h6M3 3l18 18',
  people:
    'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c0-3.300 2.900-5.500 6.500-5.500s6.500 2.200 6.500 5.500M16 4.600a3.500 3.500 0 0 1 0 5.800M18.500 15c1.900.9 3 2.700 3 5',
  phone:
    'M8 5.500L6.500 4 4.300 6.200c-.9 4 2 8 4.700 10.300 2.800 2.500 6 3.700 8.500 3.200l2.200-2.200-4-3-2 1.500c-1.700-.8-3.200-2.200-4.200-4.200L11 9.800z',
  qr: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2v2h-2zM18 18h2v2h-2zM18 14h2M14 18v2M7 7v.01M17 7v.01M7 17v.01',
  screen: 'M3 5h18v11H3zM12 16v4M8 20h8',
  sound:
    'M4 9.500v5h3.500L12 18.500v-13L7.500 9.500zM15.500 9a4.200 4.200 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11',
  whatsApp:
    'M4 20l1.200-4A8 8 0 1 1 8.200 19zM9 8.500c-.6 3 3.400 7 6.500 6.500l.8-1.600-2-1.300-1 .9c-1-.4-1.900-1.300-2.300-2.300l.9-1-1.300-2z',
} as const

export type IconName = keyof typeof paths

/** A decorative icon: whatever shows it names itself in words. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  )
}
