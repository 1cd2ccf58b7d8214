'use strict';

// A process that functions.js starts: its second thread runs functions, its first one stays free, so that the process
// ends with the server even while a function never returns. A function that takes more memory than its thread may have
// ends this process at most.

const path = require('node:path');
const { Worker } = require('node:worker_threads');

const HEAP_LIMIT_MB = 256;
const STACK_LIMIT_MB = 4;

const thread = new Worker(path.join(__dirname, 'function_thread.js'), {
  env: {}, resourceLimits: { maxOldGenerationSizeMb: HEAP_LIMIT_MB, stackSizeMb: STACK_LIMIT_MB },
});

process.on('message', (message) => thread.postMessage(message));
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => {}); // Ctrl-C is for the server, which ends this process last
thread.on('message', (message) => process.send(message));
thread.on('error', () => process.exit(1));
thread.on('exit', () => process.exit(1));
