/**
 * The little Markdown that generated sections are made of.
 */

/** A table; bars inside cells are escaped, as GitHub wants it also within code. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows].map(
    (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`,
  );
  return lines.join('\n');
}

/** The anchor of a heading, as GitHub makes it. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

/** A name or a value. */
export function code(text: string): string {
  return `\`${text}\``;
}

/** A fenced block. */
export function block(text: string, language = ''): string {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
}

const SECTION = /(<!-- generated: ([\w-]+) -->\n)[^]*?(<!-- end -->)/g;

/**
 * A document with every section between `<!-- generated: NAME -->` and `<!-- end -->` written again.
 *
 * @throws Error for a section that is not generated.
 */
export function fill(document: string, sections: ReadonlyMap<string, string>): string {
  return document.replace(SECTION, (_all, start: string, name: string, end: string) => {
    const text = sections.get(name);
    if (text === undefined) throw new Error(`nobody generates the section "${name}"`);
    return `${start}\n${text}\n\n${end}`;
  });
}
