// Which page an address stands for, and moving between pages without a reload.

import { signal } from '@preact/signals'

export type Route =
  | { readonly kind: 'home' }
  | { readonly kind: 'conference'; readonly name: string }

/** Reads a path; anything that is not a conference's is the home page. */
export function parsePath(path: string): Route {
  const encoded = /^\/c\/([^/]+)\/?$/.exec(path)?.[1]
  if (encoded === undefined) return { kind: 'home' }
  try {
    return { kind: 'conference', name: decodeURIComponent(encoded) }
  } catch {
    return { kind: 'home' } // a broken % sequence
  }
}

export const pathOf = (route: Route): string =>
  route.kind === 'home' ? '/' : `/c/${encodeURIComponent(route.name)}`

export const route = signal<Route>({ kind: 'home' })

/** Follows the address bar from here on, including back and forward. */
export function startRouting(): void {
  const read = () => {
    route.value = parsePath(location.pathname)
  }
  addEventListener('popstate', read)
  read()
}

export function navigate(to: Route): void {
  history.pushState(null, '', pathOf(to))
  route.value = to
}
