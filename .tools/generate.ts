/**
 * Writes what is made from code: sections of README.md, ARCHITECTURE.md, the pages in docs/ and the chart's README.md,
 * the pictures, and the published JSON Schemas.
 * With `--check` it writes nothing and fails where something is not up to date.
 */
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { AGENT_CONFIG_SCHEMA } from '../src/config/agent/index.ts';
import { INSTALLATION_SCHEMA } from '../src/config/installation/index.ts';
import { parseDocumentText } from '../src/config/schema/index.ts';
import { help, shown } from './docs/commands.ts';
import { block, fill } from './docs/markdown.ts';
import { pictures } from './docs/pictures.ts';
import { rings } from './docs/rings.ts';
import { stateDiagrams } from './docs/state-diagrams.ts';
import * as tables from './docs/tables.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Commands in the order of docs/reference/cli.md. */
const COMMANDS = ['inject', 'explain', 'render', 'dev', 'check', 'agent'] as const;

const EXAMPLE = '--values manifests/examples/01-spire-oidc.values.yaml';

const WRONG_POD = `
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    vouchsafe.dev/inject: "true"
    vouchsafe.dev/secrets-db: database/creds/web
    vouchsafe.dev/template-db: "{{passwrd username}}"
    vouchsafe.dev/refresh: 5 minutes
    vouchsafe.dev/env-DB-PASSWORD: kvv2/app#password
    vouchsafe.dev/mode: csi
spec:
  containers: [{ name: app, image: "web:1.0" }]
`.trimStart();

/** Documents with generated sections, beside the pages in docs/. */
const DOCUMENTS = ['README.md', 'ARCHITECTURE.md', 'manifests/vouchsafe/README.md'] as const;

/** Section -> its text. */
async function sections(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['pod-annotations', tables.podAnnotations()],
    ['file-annotations', tables.fileAnnotations()],
    ['variable-annotations', tables.variableAnnotations()],
    ['agent-keys', tables.agentKeys()],
    ['values-keys', tables.valuesKeys()],
    ['chart-keys', tables.chartKeys()],
    ['chart-values', tables.chartValues(await chartDefaults())],
    ['helpers', tables.helpers()],
    ['errors', tables.errors(root)],
    ['exit-codes', tables.exitCodes()],
    ['reasons', tables.reasons()],
    ['agent-metrics', tables.metrics(root, 'agent')],
    ['webhook-metrics', tables.metrics(root, 'webhook')],
    ['csi-metrics', tables.metrics(root, 'csi')],
    ['csi-settings', tables.csiSettings()],
    ['rings', rings(root)],
    ...stateDiagrams(),
    ...(await recipes()),
    ['help', await help(root, COMMANDS)],
    ['explain', await shown(root, `explain -f manifests/examples/01-spire-oidc.yaml ${EXAMPLE}`)],
    ['denied', await shown(root, 'inject -f -', WRONG_POD)],
    ['render', await shown(root, 'render -f templates/env.hbs --data -', `password: it's $5\n`)],
  ]);
}

/** A section for each manifest of `manifests/examples/recipes`. */
async function recipes(): Promise<readonly (readonly [string, string])[]> {
  const folder = join(root, 'manifests/examples/recipes');
  const texts = readdirSync(folder).map(async (name) => {
    const text = await readFile(join(folder, name), 'utf8');
    return [`recipe-${name.replace('.yaml', '')}`, block(text, 'yaml')] as const;
  });
  return Promise.all(texts);
}

async function chartDefaults(): Promise<unknown> {
  return parseDocumentText(await readFile(join(root, 'manifests/vouchsafe/values.yaml'), 'utf8'));
}

function pages(): readonly string[] {
  const names = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
}

/** Path -> what the file has to hold. */
async function targets(): Promise<ReadonlyMap<string, string>> {
  const made = await sections();
  const document = async (path: string): Promise<readonly [string, string]> => {
    return [path, fill(await readFile(join(root, path), 'utf8'), made)];
  };
  const schema = async (path: string, value: object): Promise<readonly [string, string]> => {
    return [
      path,
      await format(JSON.stringify(value, undefined, 2), { parser: 'json', printWidth: 100 }),
    ];
  };
  return new Map([
    ...(await Promise.all([...DOCUMENTS, ...pages()].map(document))),
    await schema('src/config/agent/agent-config.schema.json', AGENT_CONFIG_SCHEMA),
    await schema('manifests/vouchsafe/values.schema.json', INSTALLATION_SCHEMA),
    ...(await pictures(root)),
  ]);
}

/** The first line that differs, for a person to see what has changed. */
function difference(before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')];
  const index = now.findIndex((line, at) => line !== old[at]);
  const at = index < 0 ? now.length : index;
  return `  line ${at + 1}\n  - ${old[at] ?? '(end)'}\n  + ${now[at] ?? '(end)'}`;
}

const isCheck = process.argv.includes('--check');
for (const [path, text] of await targets()) {
  const present = await readFile(join(root, path), 'utf8').catch(() => '');
  if (present === text) continue;
  if (isCheck) {
    process.stderr.write(`${path} is stale; run npm run generate\n${difference(present, text)}\n`);
    process.exitCode = 1;
  } else {
    await writeFile(join(root, path), text);
    process.stderr.write(`${path} written\n`);
  }
}
