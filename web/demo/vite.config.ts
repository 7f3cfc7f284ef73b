import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

import { build } from 'esbuild';
import { defineConfig, type Plugin } from 'vite';

import { CONTENT_POLICY } from './policy.js';

const SITE = join(import.meta.dirname, 'dist');

/** The policy of the page, as a host that sends no headers needs it. */
function policy(): Plugin {
  return {
    name: 'policy',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: CONTENT_POLICY },
        injectTo: 'head-prepend',
      },
    ],
  };
}

/** The service worker, with the list of all files of the site. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    closeBundle: async () => {
      const files = readdirSync(SITE, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== 'sw.js')
        .map((entry) => join(entry.parentPath, entry.name))
        .sort();
      const digest = createHash('sha256');
      for (const file of files) digest.update(file).update(readFileSync(file));
      const names = files.map((file) => `./${relative(SITE, file).split(sep).join('/')}`);
      const { outputFiles } = await build({
        entryPoints: [join(import.meta.dirname, 'sw/sw.ts')],
        bundle: true,
        minify: true,
        write: false,
        define: {
          FILES: JSON.stringify(names),
          VERSION: JSON.stringify(digest.digest('hex').slice(0, 12)),
        },
      });
      writeFileSync(join(SITE, 'sw.js'), outputFiles[0]?.contents ?? '');
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  build: { outDir: SITE, emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 },
  // The package as it is shipped, not its sources.
  resolve: { alias: { 'tea-wasm-llm': join(import.meta.dirname, '../dist/index.js') } },
  plugins: [policy(), serviceWorker()],
});
