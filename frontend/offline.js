// The service worker: keeps the files of the page Quick score, so that it opens without a network. It is
// registered by that page alone, and leaves everything else to the network.
const FILES = {{files}};
const PREFIX = 'qponder-page-';
const CACHE = PREFIX + '{{version}}';

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  await self.skipWaiting();
}

async function takeOver() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

// The network first, so that a new version of the page is seen at once.
async function page(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match('/', { cacheName: CACHE });
    if (kept) return kept;
    throw error;
  }
}

// Names carry a hash of their content: what is kept is what the server would send.
async function file(request) {
  return (await caches.match(request, { cacheName: CACHE, ignoreVary: true })) ?? fetch(request);
}

self.addEventListener('install', (event) => event.waitUntil(keep()));
self.addEventListener('activate', (event) => event.waitUntil(takeOver()));
self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== location.origin) return;
  if (request.mode === 'navigate') {
    if (pathname === '/quick-score') event.respondWith(page(request));
  } else if (pathname !== '/' && FILES.includes(pathname)) {
    event.respondWith(file(request));
  }
});
