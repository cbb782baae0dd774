/**
 * Templates on the thread of their agent: its input is its own pod's, and so is what rendering costs. Ring: host.
 */
import type { TemplatePort } from '../agent/index.ts';
import { dependencyKey, toVouchsafeError } from '../core/index.ts';
import { formatTemplate, parseTemplate, renderTemplate, type Template } from '../template/index.ts';

/** Parses at once, and renders without waiting for anything. */
export const LOCAL_TEMPLATES: TemplatePort<Template> = {
  formatTemplate,
  parseTemplate,

  renderTemplates(jobs, values, signal) {
    if (signal.aborted) return Promise.reject(signal.reason as Error); // what `throwIfAborted` throws
    const outputs = jobs.map(({ template, ...context }) => {
      try {
        return renderTemplate(template, {
          ...context,
          lookup: (one) => values.get(dependencyKey(one)),
        });
      } catch (error) {
        return toVouchsafeError(error);
      }
    });
    return Promise.resolve(outputs);
  },
};
