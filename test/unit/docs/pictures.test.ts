/**
 * The pictures of the documents: drawn from text, readable without seeing them, and with room for their words.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { drawBoxes, type BoxesDescription } from '../../../.tools/docs/boxes.ts';
import { abridged, withConstants } from '../../../.tools/docs/demo.ts';
import { pictures } from '../../../.tools/docs/pictures.ts';
import { drawTerminal } from '../../../.tools/docs/terminal.ts';
import { drawTimeline } from '../../../.tools/docs/timeline.ts';
import { DOCUMENTS, readText, ROOT } from './documents.ts';

const described = { title: 'A title', description: 'What it shows.' };

const BOXES: BoxesDescription = {
  ...described,
  kind: 'boxes',
  size: [400, 200],
  groups: [{ label: 'node', at: [10, 10], size: [300, 100] }],
  boxes: [
    { name: 'a', label: 'first', at: [20, 20], size: [80, 40] },
    { name: 'b', label: 'second', note: 'note', at: [200, 20], size: [80, 40] },
    { name: 'c', label: 'third', at: [200, 120], size: [80, 40] },
  ],
  arrows: [{ from: 'a right', to: 'b left', label: 'to <b> & back' }],
};

const drawn = await pictures(ROOT);

test('every picture is drawn from a description, and every SVG is such a picture', () => {
  const names = readdirSync(`${ROOT}docs/pictures`).filter((name) => name.endsWith('.svg'));
  assert.deepEqual(
    [...drawn.keys()].sort(),
    names.map((name) => `docs/pictures/${name}`),
  );
  for (const [path, svg] of drawn) assert.equal(readText(path), svg, `${path}: npm run generate`);
});

for (const [path, svg] of drawn) {
  test(`${path} has a title and a description, and colours for dark pages`, () => {
    assert.match(svg, /^<svg [^>]* role="img" aria-labelledby="title description">/);
    assert.match(svg, /<title id="title">[^<]{10,}<\/title>/);
    assert.match(svg, /<desc id="description">[^<]{50,}<\/desc>/);
    assert.match(svg, /@media \(prefers-color-scheme: dark\)/);
  });

  test(`${path} loads nothing and runs nothing`, () => {
    assert.doesNotMatch(svg, /<script|href=|url\(|@import|\son\w+=/);
  });

  test(`${path} is shown in a document`, () => {
    const [name = ''] = path.split('/').slice(-1);
    assert.ok(DOCUMENTS.some((one) => readText(one).includes(`pictures/${name})`)));
  });
}

test('pictures in documents have a text for readers who do not see them', () => {
  const images = DOCUMENTS.flatMap((one) => [...readText(one).matchAll(/!\[([^\]]*)\]\(/g)]);
  assert.ok(images.length >= drawn.size);
  for (const [whole, alt = ''] of images) assert.ok(alt.length > 20, whole);
});

test('boxes, arrows and labels are drawn, and their text is escaped', () => {
  const svg = drawBoxes(BOXES);
  assert.match(svg, /M100 40 L200 40/);
  assert.match(svg, />to &lt;b&gt; &amp; back</);
  assert.match(svg, />second</);
});

test('an arrow between boxes that are not side by side has one corner', () => {
  const arrows = [{ from: 'a right', to: 'c top', label: 'x' }];
  assert.match(drawBoxes({ ...BOXES, arrows }), /M100 40 L240 40 L240 120/);
});

for (const [what, change, message] of [
  ['an arrow to no box', { arrows: [{ from: 'a right', to: 'x left', label: '' }] }, /name "x"/],
  ['an arrow from no side', { arrows: [{ from: 'a', to: 'b left', label: '' }] }, /no side/],
  [
    'a label that is longer than its arrow',
    { arrows: [{ from: 'a right', to: 'b left', label: 'words that need more room' }] },
    /"words that need more room" needs \d+ px and has 100/,
  ],
  [
    'a label that is wider than its box',
    { boxes: [{ name: 'a', label: 'a very long label', at: [0, 0], size: [50, 20] }], arrows: [] },
    /needs/,
  ],
] as const) {
  test(`${what} is an error`, () => {
    assert.throws(() => drawBoxes({ ...BOXES, ...change }), message);
  });
}

test('bars that overlap are one below the other', () => {
  const bars = [
    { from: 0, to: 50, label: 'a' },
    { from: 50, to: 100, label: 'b' },
    { from: 50, to: 100, label: 'c' },
  ];
  const lanes = [{ label: 'lane', note: 'note', bars }];
  const svg = drawTimeline({ ...described, kind: 'timeline', width: 500, marks: [], lanes });
  const rows = [...svg.matchAll(/<rect class="box" x="[\d.]+" y="([\d.]+)"/g)].map(([, y]) => y);
  assert.deepEqual(rows[0], rows[1]);
  assert.notEqual(rows[0], rows[2]);
});

test('a bar that is too short for its label is an error', () => {
  const lanes = [{ label: '', note: '', bars: [{ from: 0, to: 1, label: 'long label' }] }];
  const description = { ...described, kind: 'timeline', width: 300, marks: [], lanes } as const;
  assert.throws(() => drawTimeline(description), /"long label" needs/);
});

test('a terminal shows the command, and says who prints a line', () => {
  const terminal = { ...described, kind: 'terminal', command: 'x', output: '' } as const;
  const svg = drawTerminal(terminal, '[1] one\n    agent | ready\n');
  assert.match(svg, /class="code strong"[^>]*>\$ x</);
  assert.match(svg, /class="code strong"[^>]*>\[1\] one</);
  assert.match(svg, /<tspan class="muted">agent \| <\/tspan>ready</);
});

test('what differs from run to run is constant, and one file is shown', () => {
  const printed = [
    '    status: http://127.0.0.1:3456/status at /tmp/vouchsafe-dev-aB3xY9/secrets',
    '    a.txt (mode 0444)',
    '      ********',
    '    db.env (mode 0444)',
    '      password=********',
    '    z.txt (mode 0444)',
    '      ********',
    '[6] next',
    '',
  ].join('\n');
  assert.equal(
    abridged(withConstants(printed)),
    [
      '    status: http://127.0.0.1:40000/status at /tmp/vouchsafe-dev/secrets',
      '    …',
      '    db.env (mode 0444)',
      '      password=********',
      '    …',
      '[6] next',
      '',
    ].join('\n'),
  );
});
