// Preloaded by compile.ts: at the end of the process, what V8 has compiled of each file of the bundle is put beside it.
'use strict';
const { writeFileSync } = require('node:fs');
const vm = require('node:vm');

const scripts = new Map();
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    scripts.set(options.filename, this);
  }
};
process.on('exit', () => {
  for (const [filename, script] of scripts) {
    writeFileSync(`${filename}.cache`, script.createCachedData());
  }
});
