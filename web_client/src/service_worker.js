// The service worker: a second visit shows the page without the network.
//
// Installing keeps the page with what it names; assets fetched later (the call
// engine) are kept as they come. Built assets never change under a name, so
// they are served from here without asking. A new build is a new worker with a
// cache of its own: it takes over when the last page of the old one is closed,
// so a page never meets files of another build. Nothing but the page and its
// assets is touched: signalling and the API go to the network.
//
// The build writes the two values below in (vite.config.ts).

const VERSION = '__VERSION__'
const SHELL = ['__SHELL__']

const CACHE = `kinguicall-${VERSION}`

/** The page: the server answers `/` by what a client accepts. */
const pageRequest = () =>
  new Request('/', { headers: { Accept: 'text/html' }, cache: 'no-cache', credentials: 'omit' })

async function install() {
  const cache = await caches.open(CACHE)
  const page = await fetch(pageRequest())
  if (!page.ok) throw new Error(`the page answered ${page.status}`)
  await Promise.all([cache.put('/', page), cache.addAll(SHELL)])
}

async function dropOtherVersions() {
  const names = await caches.keys()
  const others = names.filter((name) => name.startsWith('kinguicall-') && name !== CACHE)
  await Promise.all(others.map((name) => caches.delete(name)))
}

async function fromCacheFirst(request, key) {
  const cache = await caches.open(CACHE)
  const kept = await cache.match(key)
  if (kept) return kept
  const response = await fetch(request)
  if (response.ok && key !== '/') await cache.put(key, response.clone())
  return response
}

self.addEventListener('install', (event) => event.waitUntil(install()))
self.addEventListener('activate', (event) => event.waitUntil(dropOtherVersions()))
self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== location.origin) return
  if (request.mode === 'navigate' && /^\/(c\/[^/]+\/?)?$/.test(pathname)) {
    event.respondWith(fromCacheFirst(request, '/'))
  } else if (pathname.startsWith('/assets/')) {
    event.respondWith(fromCacheFirst(request, pathname))
  }
})
