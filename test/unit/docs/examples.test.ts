/**
 * The code accepts what the documents show.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { inject, planVolume, readPod } from '../../../src/admission/index.ts';
import { parseAgentConfigText } from '../../../src/config/agent/index.ts';
import type { Annotations } from '../../../src/config/annotations/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { checkTemplate } from '../../../src/template/index.ts';
import { blocksOf, DOCUMENTS, MANUAL, readText, ROOT, rowsOf } from './documents.ts';

type Fields = Readonly<Record<string, unknown>>;

function documentsOf(text: string): readonly Fields[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Fields); // mappings, all of them
}

function podsOf(text: string): readonly Fields[] {
  return documentsOf(text).filter(({ kind }) => kind === 'Pod');
}

function assertInjected(pod: unknown, values: unknown): void {
  const installation = parseInstallation(values);
  const result = inject({ pod: readPod(pod), namespace: 'default', installation, checkTemplate });
  assert.deepEqual(result.problems, []);
  assert.deepEqual(result.warnings, []);
  assert.equal(result.outcome, 'injected');
}

test('pods of the manual are injected without a warning', () => {
  const pods = blocksOf('yaml')
    .flatMap(podsOf)
    .filter((pod) => volumesByHand(pod).length === 0);
  assert.ok(pods.length >= 3);
  const values = { csi: { enabled: true }, env: { enabled: true } };
  for (const pod of pods) assertInjected(pod, values);
});

/** Attributes of the volumes of the CSI driver that a pod names itself. */
function volumesByHand(pod: unknown): readonly Annotations[] {
  const { volumes } = readPod(pod).spec;
  return (volumes ?? []).flatMap(({ csi }) => {
    const { driver, volumeAttributes } = (csi ?? {}) as Fields; // of a manifest that was read
    return driver === 'csi.vouchsafe.dev' ? [volumeAttributes as Annotations] : []; // likewise
  });
}

test('volumes that the documents write by hand are planned without a warning', () => {
  const example = readText('manifests/examples/06-csi.yaml');
  const volumes = [...blocksOf('yaml'), example].flatMap(podsOf).flatMap(volumesByHand);
  assert.equal(volumes.length, 2);
  for (const attributes of volumes) {
    const plan = planVolume({
      attributes,
      installation: parseInstallation({}),
      pod: { namespace: 'default', serviceAccount: 'web' },
      hasGroup: false,
      checkTemplate,
    });
    assert.ok(plan.kind === 'planned');
    assert.deepEqual(plan.warnings, []);
  }
});

test('values of the manual are valid', () => {
  const values = blocksOf('yaml').filter((text) => documentsOf(text)[0]?.['kind'] === undefined);
  assert.ok(values.length > 0);
  for (const text of values) assert.ok(parseInstallation(documentsOf(text)[0]));
});

test('the AgentConfig of the manual is valid', async () => {
  const blocks = blocksOf('json');
  assert.equal(blocks.length, 1);
  for (const text of blocks) assert.equal((await parseAgentConfigText(text)).files.length, 4);
});

test('templates of the manual have no problems', () => {
  const blocks = blocksOf('handlebars');
  assert.ok(blocks.length > 0);
  for (const text of blocks) assert.deepEqual(checkTemplate(text, 'manual').problems, []);
});

test('templates for people who come from Consul Template have no problems', () => {
  const templates = rowsOf('Consul Template').map(([, handlebars = '']) => handlebars);
  const known = templates.filter((text) => text.includes('{{'));
  assert.ok(known.length >= 10);
  for (const text of known) assert.deepEqual(checkTemplate(text, 'manual').problems, [], text);
});

test('example manifests are injected with their values, and are in the manual', () => {
  const names = readdirSync(`${ROOT}manifests/examples`).filter((name) => name.endsWith('.yaml'));
  const listed = rowsOf('file').map(([path]) => path);
  for (const name of names.filter((one) => !one.endsWith('.values.yaml'))) {
    const path = `manifests/examples/${name}`;
    assert.ok(listed.includes(path), path);
    const valuesName = name.replace(/\.yaml$/, '.values.yaml');
    const values = names.includes(valuesName) ? readText(`manifests/examples/${valuesName}`) : '';
    const pods = podsOf(readText(path));
    assert.ok(pods.length > 0, path);
    for (const pod of pods.filter((one) => volumesByHand(one).length === 0)) {
      assertInjected(pod, documentsOf(values)[0] ?? {});
    }
  }
});

test('example documents for machines outside a cluster are valid', async () => {
  const directory = 'manifests/examples/03-outside-cluster';
  const names = readdirSync(`${ROOT}${directory}`).filter((name) => name.endsWith('.json'));
  assert.ok(names.length > 0);
  for (const name of names) assert.ok(await parseAgentConfigText(readText(`${directory}/${name}`)));
});

test('npm scripts that the manual names exist', () => {
  const { scripts } = JSON.parse(readText('package.json')) as { scripts: Fields };
  const named = [...MANUAL.matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, name = '']) => name);
  assert.ok(named.length > 3);
  for (const name of named) assert.ok(Object.hasOwn(scripts, name), name);
});

/** Written by hand, and compared with what is really printed by test/integration/cli/manual.test.ts and test/unit/check/manual.test.ts. */
const CHECKED_CONSOLES: Readonly<Record<string, number>> = {
  'docs/operate/observability.md': 1,
  'docs/reference/cli.md': 1,
  'docs/start/demo.md': 1,
};

test('every console block is generated or compared with real output', () => {
  for (const name of DOCUMENTS) {
    const byHand = readText(name).replaceAll(/<!-- generated: [^]*?<!-- end -->/g, '');
    assert.equal(blocksOf('console', byHand).length, CHECKED_CONSOLES[name] ?? 0, name);
  }
});
