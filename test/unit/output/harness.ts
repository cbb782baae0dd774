/** What the tests of the writer share. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { OutputFile } from '../../../src/contracts/index.ts';
import { createFileWriter, type FileWriter } from '../../../src/output/index.ts';
import {
  nodeFileSystem,
  type Directory,
  type FileSystem,
} from '../../../src/output/file-system.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

/** A signal that never aborts. */
export const ALWAYS = new AbortController().signal;

/** A writer with a clock that stands still. */
export function writerOf(
  directory: string,
  fileSystem: FileSystem = nodeFileSystem,
  clock = new FakeClock(),
): FileWriter {
  return createFileWriter({ directory, clock, random: { next: () => 0.5 }, fileSystem });
}

/** A set of files from `path: content`, all 0440. */
export function setOf(contents: Readonly<Record<string, string>>): OutputFile[] {
  return Object.entries(contents).map(([path, content]) => ({
    path,
    mode: 0o440,
    content: Buffer.from(content),
  }));
}

/** What a reader finds through the visible names: `path: content`. Throws on a dangling link. */
export function readAll(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (prefix: string): void => {
    for (const name of readdirSync(join(directory, prefix)).sort()) {
      if (prefix === '' && name.startsWith('..')) continue;
      const path = join(prefix, name);
      try {
        found[path] = readFileSync(join(directory, path), 'utf8');
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EISDIR')) throw error;
        visit(path);
      }
    }
  };
  visit('');
  return found;
}

/** The directory that `..data` points to. */
export function generationOf(directory: string): string {
  return readlinkSync(join(directory, '..data'));
}

/** The names that the writer keeps for itself, `..data` and the present generation left out. */
export function leftoversOf(directory: string): string[] {
  const present = ['..data', generationOf(directory)];
  return readdirSync(directory).filter((name) => name.startsWith('..') && !present.includes(name));
}

/** The real file system, with a hook before each operation that changes something. */
export function hooked(before: (operation: string, path: string) => void): FileSystem {
  const within = (directory: Directory, name: string): string => `${directory.path}/${name}`;
  return {
    ...nodeFileSystem,
    async makeDirectory(parent, name) {
      before('makeDirectory', within(parent, name));
      return nodeFileSystem.makeDirectory(parent, name);
    },
    async createFile(parent, name, content, mode) {
      before('createFile', within(parent, name));
      return nodeFileSystem.createFile(parent, name, content, mode);
    },
    async sealDirectory(directory) {
      before('sealDirectory', directory.path);
      return nodeFileSystem.sealDirectory(directory);
    },
    async syncDirectory(directory) {
      before('syncDirectory', directory.path);
      return nodeFileSystem.syncDirectory(directory);
    },
    async link(target, parent, name) {
      before('link', within(parent, name));
      return nodeFileSystem.link(target, parent, name);
    },
    async rename(from, name, to, newName = name) {
      before('rename', within(to, newName));
      return nodeFileSystem.rename(from, name, to, newName);
    },
    async unlink(parent, name) {
      before('unlink', within(parent, name));
      return nodeFileSystem.unlink(parent, name);
    },
    async remove(parent, name) {
      before('remove', within(parent, name));
      return nodeFileSystem.remove(parent, name);
    },
  };
}

/** What the system says when an operation fails. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code, syscall: 'write' });
}
