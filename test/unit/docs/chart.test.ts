/**
 * The chart against the code, as far as that needs no Helm.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { leaves } from '../../../.tools/docs/tables.ts';
import { AGENT_CONTAINER, INIT_CONTAINER, VOLUME } from '../../../src/admission/names.ts';
import { HOOK_COMMAND } from '../../../src/admission/start-gate.ts';
import { INSTALLATION_SCHEMA, parseInstallation } from '../../../src/config/installation/index.ts';
import { parseDocumentText } from '../../../src/config/schema/index.ts';
import { readText, ROOT, sourcesOf } from './documents.ts';

const VALUES_TEXT = readText('manifests/vouchsafe/values.yaml');
const VALUES = await parseDocumentText(VALUES_TEXT);
const TEMPLATES = readdirSync(`${ROOT}manifests/vouchsafe/templates`, {
  recursive: true,
  encoding: 'utf8',
}).filter((name) => name.includes('.'));

function templateText(name: string): string {
  return readText(`manifests/vouchsafe/templates/${name}`);
}

function valueAt(path: string): unknown {
  return path.split('.').reduce((value: unknown, key) => {
    return typeof value === 'object' && value !== null
      ? Object.getOwnPropertyDescriptor(value, key)?.value
      : undefined;
  }, VALUES);
}

test('the chart says what holds without it', () => {
  assert.deepEqual(parseInstallation(VALUES), parseInstallation({}));
  for (const { path, schema } of leaves(INSTALLATION_SCHEMA)) {
    const given = valueAt(path);
    if (schema.default !== undefined) assert.deepEqual(given, schema.default, path);
  }
});

test('every value is shown in values.yaml, with a comment or in one', () => {
  for (const { path } of leaves(INSTALLATION_SCHEMA)) {
    const [key = ''] = path.replace('.<annotation>', '').split('.').slice(-1);
    assert.match(VALUES_TEXT, new RegExp(`^[ #{]*.*\\b${key}:`, 'm'), path);
  }
});

test('chart and project are of one version', async () => {
  const chart = await parseDocumentText(readText('manifests/vouchsafe/Chart.yaml'));
  const { version } = JSON.parse(readText('package.json')) as { version: string }; // npm requires it
  assert.deepEqual(chart, { ...(chart as object), version, appVersion: version });
});

test('every metric of alerts and dashboard is one that is made', () => {
  const sources = sourcesOf('src').map(readText).join('\n');
  const texts = ['templates/alerts.yaml', 'files/dashboard.json'].map((name) =>
    readText(`manifests/vouchsafe/${name}`),
  );
  const used = texts.join('\n').match(/vouchsafe_\w+/g) ?? [];
  const names = new Set(used.map((name) => name.replace(/_(bucket|sum|count)$/, '')));
  assert.ok(names.size > 10);
  for (const name of names) assert.ok(sources.includes(`'${name}'`), name);
});

test('alerts on objects are about those of the release alone', () => {
  const text = templateText('alerts.yaml');
  const used = text.match(/\bkube_\w+\{[^}]*\}/g) ?? [];
  assert.deepEqual(used.length, 2);
  for (const one of used) assert.match(one, /\{ \{\{- \$driver -\}/);
  const driver =
    /\$driver := printf "namespace=%q,daemonset=%q" \$\.Release\.Namespace \(include "vouchsafe\.csi" \$\)/;
  assert.match(text, driver);
});

test('the policy knows the containers of the agent and the volume of the driver by their names', () => {
  const policy = templateText('admissionpolicy.yaml');
  for (const name of [AGENT_CONTAINER, INIT_CONTAINER, VOLUME.secrets]) {
    assert.ok(policy.includes(`'${name}'`));
  }
});

test('the policy knows the hook of the agent by its whole command', () => {
  const [, list = ''] =
    /- name: startGate\n +expression: >-\n([^\]]+\])/.exec(templateText('admissionpolicy.yaml')) ??
    [];
  assert.deepEqual(JSON.parse(list.replaceAll("'", '"')), HOOK_COMMAND);
});

test('driver and mounter are given flags that they have', () => {
  const [, driver = '', mounter = ''] = templateText('csi/daemonset.yaml').split('          args:');
  for (const [name, text, least] of [
    ['csi', driver, 6],
    ['mounter', mounter, 4],
  ] as const) {
    const flags = text.match(/--[a-z-]+(?==)/g) ?? [];
    const known = readText(`cmd/${name}/main.ts`);
    assert.ok(flags.length >= least, name);
    for (const flag of flags)
      assert.match(known, new RegExp(`['\\s]${flag.slice(2)}'?: \\{ type:`));
  }
});

test('the templates use no value that the schema does not know', () => {
  const known = leaves(INSTALLATION_SCHEMA).map(({ path }) => path);
  const used = TEMPLATES.flatMap((name) => templateText(name).match(/\.Values(?:\.\w+)+/g) ?? []);
  assert.ok(used.length > 20);
  for (const path of used.map((one) => one.replace('.Values.', ''))) {
    const isKnown = known.some(
      (key) => key === path || key.startsWith(`${path}.`) || path.startsWith(`${key}.`),
    );
    assert.ok(isKnown, path);
  }
});
