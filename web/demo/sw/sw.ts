/** Keeps the page itself, so that it opens without a network. The models are in IndexedDB. */

const worker = self as unknown as ServiceWorkerGlobalScope;

/** Put in when the site is built: every file of it, and a digest of them all. */
declare const FILES: readonly string[];
declare const VERSION: string;

// Caches are the origin's, and another of these sites may be in a folder of its own there.
const SITE = `tea-page-${new URL(worker.registration.scope).pathname}-`;
const CACHE = SITE + VERSION;

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' }))))
      .then(() => worker.skipWaiting()),
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => names.filter((name) => name.startsWith(SITE) && name !== CACHE))
      .then((old) => Promise.all(old.map((name) => caches.delete(name))))
      .then(() => worker.clients.claim()),
  );
});

worker.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  const ours = url.origin === worker.location.origin && event.request.method === 'GET';
  // Models go past it: the store fetches them in ranges.
  if (ours && !url.pathname.includes('/models/')) event.respondWith(answer(event.request));
});

async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const wanted = request.mode === 'navigate' ? './index.html' : request;
  const response = (await cache.match(wanted, { ignoreSearch: true })) ?? (await fetch(request));
  return isolated(response);
}

/** With these headers a page may use several threads, also on a host that does not send them. */
function isolated(response: Response): Response {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
