/**
 * Templates on the thread of their agent: its input is its own pod's, and so is what rendering costs.
 */
import type { TemplatePort } from '../agent/index.ts';
import { dependencyKey, toVouchsafeError, type Dependency } from '../core/index.ts';
import {
  formatTemplate,
  parseTemplate,
  RENDER_LIMITS,
  renderTemplate,
  type Template,
} from '../template/index.ts';

/** Parses at once, and renders without waiting for anything; a rendering makes at most so many bytes. */
export function localTemplates(maxRenderBytes: number): TemplatePort<Template> {
  const limits = { ...RENDER_LIMITS, workBytes: maxRenderBytes };
  return {
    formatTemplate,
    parseTemplate,

    renderTemplates(jobs, values, signal) {
      if (signal.aborted) return Promise.reject(signal.reason as Error); // what `throwIfAborted` throws
      const outputs = jobs.map(({ template, ...context }) => {
        const lookup = (one: Dependency) => values.get(dependencyKey(one));
        try {
          return renderTemplate(template, { ...context, lookup }, limits);
        } catch (error) {
          return toVouchsafeError(error);
        }
      });
      return Promise.resolve(outputs);
    },
  };
}

/** With the bound of an agent whose installation says nothing of it. */
export const LOCAL_TEMPLATES = localTemplates(RENDER_LIMITS.workBytes);
