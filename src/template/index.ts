export { FORMAT_NAMES, formatTemplate, loadFormats, type FormatName } from './formats.ts';
export { TEMPLATE_HELPERS } from './helpers/table.ts';
export { renderTemplate, type RenderResult, type TemplateInput } from './render.ts';
export { checkTemplate, parseTemplate } from './template.ts';
export type { Template } from './tree.ts';
export { AGENT_WORK_BYTES, DRIVER_WORK_BYTES, RENDER_LIMITS, type RenderLimits } from './work.ts';
