/**
 * Renders templates on the agent's own thread: their input and their cost belong to one pod.
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

/** Parses at once and renders synchronously; a rendering may produce at most `maxRenderBytes`. */
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

/** With the default limit. */
export const LOCAL_TEMPLATES = localTemplates(RENDER_LIMITS.workBytes);
