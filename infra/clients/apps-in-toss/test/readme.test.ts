import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The samples of a README, with the ending of the file that each belongs in. */
function samples(file: string): { ending: string; code: string }[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```(tsx?)\n([\s\S]*?)^```$/gm)].map(([, ending, code]) => ({ ending: ending!, code: code! }));
}

const bare = (code: string) => code.replace(/\{\/\*.*?\*\/\}|(^|\s)\/\/.*$/gm, '').replace(/\s+/g, ' ');

test('the samples of both READMEs compile against the package as it is installed', () => {
  const folder = join(root, 'build', 'samples');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of ['README.md', 'README.ko.md']) {
    const found = samples(file);
    assert.deepEqual(found.map((s) => s.ending), ['tsx', 'ts'], `samples of ${file}`);
    found.forEach((s, i) => writeFileSync(join(folder, `${file.replace(/\W/g, '-')}-${i}.${s.ending}`), s.code));
  }
  const options = { extends: '../../tsconfig.json', compilerOptions: { jsx: 'react-jsx', noEmit: true, rootDir: '../..', declaration: false }, include: ['.'] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  try {
    execFileSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(`tsc: got ${(error as { stdout?: string }).stdout}, want no complaints`);
  }
});

test('both READMEs show the same code', () => {
  const [english, korean] = ['README.md', 'README.ko.md'].map((file) => samples(file).map((s) => bare(s.code)));
  assert.deepEqual(korean, english, 'code of README.ko.md');
});
