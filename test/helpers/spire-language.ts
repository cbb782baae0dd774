/** SPIRE's own language of configuration, because it does not read lists of objects in such lists right from JSON. */

/** A plug-in of a program, as it is configured. */
export type Plugin = readonly [type: string, name: string, settings: object];

/** The configuration of a server or an agent. */
export function document(name: string, settings: object, plugins: readonly Plugin[]): string {
  const blocks = plugins.map(
    ([type, plugin, more]) => `${type} "${plugin}" {\nplugin_data ${hcl(more)}\n}`,
  );
  return `${name} ${hcl(settings)}\nplugins {\n${blocks.join('\n')}\n}\n`;
}

/** Settings outside of any block. A block has no equals sign: it may have a label. */
export function settingsOf(settings: object): string {
  const lines = Object.entries(settings).map(([key, value]: [string, unknown]) => {
    const isBlock = typeof value === 'object' && value !== null && !Array.isArray(value);
    return `${key} ${isBlock ? '' : '= '}${hcl(value)}`;
  });
  return lines.join('\n');
}

function hcl(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(hcl).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{\n${settingsOf(value)}\n}`;
}
