// The layout nobody has to choose: a shared screen in the spotlight, else equal tiles.

import { grid } from './grid'
import type { Layout } from './layout'
import { spotlight } from './spotlight'

export const autoLayout = (hasScreen: boolean): Layout => (hasScreen ? spotlight : grid)
