import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localRenderer } from '../../helpers/local-renderer.ts';

const TOKEN = 'hvs.CAESIPlantedTokenPlantedTokenPlantedToken';
const SHAPE = { mount: 'other', isVersion: false, isList: false, isBare: false } as const;

for (const [name, body, kind, what] of [
  [
    'a wrapped response',
    { wrap_info: { token: TOKEN, creation_path: `kv/${TOKEN}` }, data: null },
    'wrapped',
    /^is wrapped \(creation path kv\/\[redacted\]\): it has a wrapping token/,
  ],
  ['no data', { request_id: 'r', data: null }, 'no-value', /^has no data$/],
  ['JSON of something else', { status: 'ok' }, 'no-value', /^is JSON, but not in the form/],
] as const) {
  test(`${name} is reported alike, short or long, without its content`, async () => {
    for (const padding of [0, 10_000]) {
      const bytes = Buffer.from(JSON.stringify({ ...body, padding: 'x'.repeat(padding) }));
      const input = { body: bytes, shape: SHAPE, path: 'kv/app', nowMs: 0 };
      const { signal } = new AbortController();
      const opened = await localRenderer().open(input, { tenant: 'default' }, signal);
      assert.ok('problem' in opened);
      assert.equal(opened.problem.kind, kind);
      assert.match(opened.problem.what, what);
      assert.doesNotMatch(opened.problem.what, /hvs\.|xxx/);
    }
  });
}
