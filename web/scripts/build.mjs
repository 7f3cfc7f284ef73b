// Makes dist/: modules that a page can import as they are, the .wasm files beside them, and types.
// wasm/ must be there. `@wllama/wllama` and all else that is needed is in the bundle.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = `${root}dist`;

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await build({
  absWorkingDir: root,
  entryPoints: ['ts/index.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true, // wllama is fetched only where a model is wanted
  format: 'esm',
  target: 'es2022',
  minify: true,
  chunkNames: '[name]-[hash]',
  legalComments: 'none', // the licences are in a file of their own
});
copyFileSync(`${root}wasm/tea_wasm_bg.wasm`, `${dist}/tea_wasm_bg.wasm`);
copyFileSync(`${root}node_modules/@wllama/wllama/esm/wasm/wllama.wasm`, `${dist}/wllama.wasm`);
execFileSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, '-p', 'tsconfig.build.json'],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
mkdirSync(`${dist}/types/wasm`);
copyFileSync(`${root}wasm/tea_wasm.d.ts`, `${dist}/types/wasm/tea_wasm.d.ts`);

// The terms of all that is in the bundle; those of the crates are laid down where these are built.
const texts = ['@wllama/wllama/LICENCE', 'hash-wasm/LICENSE', 'idb/LICENSE'].map((name) => [
  name,
  `${root}node_modules/${name}`,
]);
if (existsSync(`${root}licenses`)) {
  for (const name of readdirSync(`${root}licenses`).sort()) {
    texts.push([name, `${root}licenses/${name}`]);
  }
}
const licenses = texts.map(
  ([name, path]) => `== ${name}\n\n${readFileSync(path, 'utf8').trim()}\n`,
);
writeFileSync(`${dist}/LICENSES.txt`, licenses.join('\n'));
console.log(readdirSync(dist).join(' '));
